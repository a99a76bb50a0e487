import { type Clock, Follower, type FollowerOptions, follow, systemClock } from "@gatehouse/changefeed";
import { FreshnessGate } from "./domain/freshness-gate.ts";
import { IdentityCache } from "./domain/identity-cache.ts";
import type { IdentityChange } from "./domain/identity-replica.ts";
import { GrpcMeteringSource } from "./upstream/metering-source.ts";

/**
 * What the promises rest on that a revoked key stops at once and that limits hold, each part made by a function: so that
 * an attack can put a weakened one in its place, and show that it finds what the rule protects from. Production has no
 * such choice.
 */
export interface Parts {
  readonly clock: Clock;
  readonly identityCache: (...options: ConstructorParameters<typeof IdentityCache>) => IdentityCache;
  readonly identityFollower: (options: FollowerOptions<IdentityChange>) => Follower<IdentityChange>;
  /** The gate before the keys that are asked about. */
  readonly identityGate: (...of: ConstructorParameters<typeof FreshnessGate>) => FreshnessGate;
  /** The gate before the keys that ask. */
  readonly guardGate: (gate: FreshnessGate) => FreshnessGate;
  readonly follow: typeof follow;
  /** Who lends units, and wants them back. */
  readonly meteringSource: (...of: ConstructorParameters<typeof GrpcMeteringSource>) => GrpcMeteringSource;
}

export const wholeParts: Parts = {
  clock: systemClock,
  identityCache: (options) => new IdentityCache(options),
  identityFollower: (options) => new Follower(options),
  identityGate: (follower, bounds) => new FreshnessGate(follower, bounds),
  guardGate: (gate) => gate,
  follow,
  meteringSource: (...of) => new GrpcMeteringSource(...of),
};
