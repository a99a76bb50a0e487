import { follow } from "@gatehouse/changefeed";
import type { Bus, Disposables, Log } from "@gatehouse/service";
import type { Parts } from "../parts.ts";
import type { openIdentity } from "./open-identity.ts";
import type { openLeases } from "./open-leases.ts";

export interface FollowOptions {
  readonly identity: ReturnType<typeof openIdentity>;
  readonly leases: ReturnType<typeof openLeases>;
  readonly parts: Parts;
  readonly bus: Bus;
  readonly log: Log;
  readonly opened: Disposables;
}

/** Follows both feeds until the end. What a bell names is in doubt until a proof that began after it. */
export function followBoth({ identity, leases, parts, bus, log, opened }: FollowOptions): void {
  const ofIdentity = parts.follow({
    follower: identity.follower,
    source: "identity",
    bus,
    log,
    onBell: (ids) => identity.cache.doubt(ids, identity.follower.proofsBegun),
  });
  opened.add("follower", () => ofIdentity.stop());
  const ofMetering = follow({
    follower: leases.follower,
    source: "metering",
    bus,
    log,
    onBell: (ids) => leases.replica.doubt(ids),
  });
  opened.add("follower", () => ofMetering.stop());
}
