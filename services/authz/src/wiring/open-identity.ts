import { MissBudget, UNKNOWN_HASHES } from "@gatehouse/access";
import { encodeFreshness } from "@gatehouse/changefeed";
import type { Disposables } from "@gatehouse/service";
import type { AuthzConfig } from "../config.ts";
import { CatalogBook } from "../domain/catalog-book.ts";
import type { FreshnessBounds } from "../domain/freshness-gate.ts";
import { IdentityReader } from "../domain/identity-reader.ts";
import { IdentityReplica } from "../domain/identity-replica.ts";
import { MeterBook } from "../domain/meter-book.ts";
import type { Parts } from "../parts.ts";
import { GrpcIdentitySource } from "../upstream/identity-source.ts";

/** What is cached of identity, not followed yet: what it is filled from, what follows it, and the gate before it. */
export function openIdentity(
  { cache: bounds, identityAddress, serviceSecret }: AuthzConfig,
  freshness: FreshnessBounds,
  parts: Parts,
  opened: Disposables,
) {
  const source = new GrpcIdentitySource(identityAddress, serviceSecret.reveal());
  opened.add("identity client", () => source.close());
  const nowMs = () => parts.clock.now().monotonicMs;
  const { keys: capacity, bytes, lifetimeMs } = bounds;
  const cache = parts.identityCache({ capacity, bytes, lifetimeMs, nowMs });
  const meters = new MeterBook(() => source.meters());
  const catalog = new CatalogBook(() => source.catalog());
  const replica = new IdentityReplica(cache, meters, catalog);
  const follower = parts.identityFollower({ source, replica, clock: parts.clock });
  const gate = parts.identityGate(follower, freshness);
  const reader = new IdentityReader(source, cache, new MissBudget(UNKNOWN_HASHES, nowMs));
  /** The state that the cache rests on, as a token; empty before there is one. */
  const position = () => {
    const latest = reader.latest(follower.position);
    return latest === undefined ? "" : encodeFreshness("identity", latest);
  };
  return { source, cache, meters, catalog, follower, gate, reader, position };
}
