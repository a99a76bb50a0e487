import { type Follower, feedMetrics } from "@gatehouse/changefeed";
import {
  counter,
  durations,
  gauge,
  Histogram,
  histogram,
  joined,
  labelled,
  type Metric,
} from "@gatehouse/service";
import type { Activity } from "./domain/activity.ts";
import type { FreshnessBounds } from "./domain/freshness-gate.ts";
import type { IdentityCache } from "./domain/identity-cache.ts";
import type { IdentityReader } from "./domain/identity-reader.ts";
import type { LeasePool } from "./domain/lease-pool.ts";
import type { LimitBook } from "./domain/limit-book.ts";
import type { NonceSet } from "./domain/nonce-set.ts";
import type { Verifier } from "./domain/verify.ts";
import type { RequestMemory } from "./rpc/request-memory.ts";
import type { Shipper, Spool } from "./spool/index.ts";

/** What is observed as it happens; everything else is read from what there is when somebody scrapes. */
export class AuthzObservations {
  readonly acquireWaits = durations();
  readonly spoolWrites = durations();
  readonly batchItems = new Histogram([1, 2, 5, 10, 25, 50, 100, 250, 500, 1000]);
}

type AnyFollower = Follower<{ readonly revision: number | bigint }>;

/** What the metrics are read from. */
export interface Watched {
  readonly verifier: Pick<Verifier, "counts" | "waiters">;
  readonly nonces: Pick<NonceSet, "size">;
  readonly cache: IdentityCache;
  readonly reader: Pick<IdentityReader, "reads">;
  readonly book: LimitBook;
  readonly pool: Pick<LeasePool, "counts">;
  readonly activity: Pick<Activity, "backlog">;
  readonly memory: Pick<RequestMemory, "size">;
  readonly spool: Pick<Spool, "failedTurns" | "segments" | "isHung">;
  readonly shipper: Pick<
    Shipper,
    "pendingBatches" | "pendingBytes" | "oldestAgeMs" | "shipped" | "rejected" | "stuckEpochs"
  >;
  readonly feeds: Readonly<Record<"identity" | "metering", AnyFollower>>;
  readonly identityBounds: FreshnessBounds;
  readonly limitsStalenessMaxMs: number;
  readonly observations: AuthzObservations;
}

/** The metrics of authz; docs/metrics.md says what each means. No label holds what a caller chooses. */
export function authzMetrics(watched: Watched): readonly Metric[] {
  const { feeds } = watched;
  return [
    ...decisionMetrics(watched),
    ...cacheMetrics(watched),
    ...joined(
      feedMetrics("identity", feeds.identity),
      feedMetrics("metering", feeds.metering),
      fallbackMetrics(watched),
    ),
    ...leaseMetrics(watched),
    ...spoolMetrics(watched),
  ];
}

function decisionMetrics({ verifier, nonces, activity, memory, observations }: Watched): readonly Metric[] {
  const { counts } = verifier;
  return [
    counter("gatehouse_decisions_total", "Decisions, by their code.", () => counts.codes, "code"),
    counter(
      "gatehouse_indeterminate_total",
      "Calls that could not be decided, by what kept them from it.",
      () => counts.causes,
      "cause",
    ),
    histogram("gatehouse_batch_items", "Calls in one BatchVerify.", observations.batchItems),
    gauge(
      "gatehouse_waiting_calls",
      "Calls that wait for something that is not in memory.",
      "sum",
      () => verifier.waiters.count,
    ),
    gauge(
      "gatehouse_nonces_held",
      "Nonces of signed requests that are remembered.",
      "sum",
      () => nonces.size,
    ),
    gauge(
      "gatehouse_request_memory_entries",
      "Calls with a request id that are remembered, so that a retry is charged once.",
      "sum",
      () => memory.size,
    ),
    gauge(
      "gatehouse_activity_backlog",
      "Uses of keys that identity has yet to hear of.",
      "sum",
      () => activity.backlog,
    ),
  ];
}

function cacheMetrics({ cache, reader, book }: Watched): readonly Metric[] {
  return [
    gauge(
      "gatehouse_cache_entries",
      "What is cached: keys, accounts, accounts by name, names that mean nothing, nodes' limits.",
      "sum",
      () => ({ ...cache.sizes, limits: book.size }),
      "of",
    ),
    gauge(
      "gatehouse_cache_bytes",
      "About what keys and accounts in the cache take.",
      "sum",
      () => cache.bytes,
    ),
    counter(
      "gatehouse_cache_lookups_total",
      "Keys looked for: there, not there, and known not to exist (which are misses as well).",
      () => ({ hit: cache.hits, miss: cache.misses, unknown: cache.unknownHits }),
      "result",
    ),
    counter(
      "gatehouse_cache_evictions_total",
      "Entries that had to make room for others.",
      () => ({ ...cache.evictions, limits: book.evictions }),
      "of",
    ),
    counter(
      "gatehouse_cache_expirations_total",
      "Keys that had outlived their time when they were asked for.",
      () => cache.expirations,
    ),
    counter(
      "gatehouse_cache_fills_discarded_total",
      "Answers of identity that came too late to be believed.",
      () => cache.fillsDiscarded,
    ),
    counter(
      "gatehouse_identity_reads_total",
      "Reads from identity on a miss, shared by all who miss the same.",
      () => reader.reads.begun,
    ),
    counter(
      "gatehouse_identity_reads_failed_total",
      "Reads from identity that failed.",
      () => reader.reads.failed,
    ),
  ];
}

function fallbackMetrics({ feeds, identityBounds, limitsStalenessMaxMs }: Watched): readonly Metric[] {
  const fallback = (read: () => { stale: boolean; too_old: boolean }) =>
    gauge(
      "gatehouse_feed_fallback",
      "1 while state beyond the bound on freshness answers (stale), or is too old to (too_old).",
      "max",
      () => ({ stale: Number(read().stale), too_old: Number(read().too_old) }),
      "state",
    );
  const identity = fallback(() => {
    const ageMs = feeds.identity.ageMs();
    const { boundMs, stalenessMaxMs } = identityBounds;
    const isTooOld = ageMs > Math.max(boundMs, stalenessMaxMs);
    return { stale: ageMs > boundMs && !isTooOld, too_old: isTooOld };
  });
  // Limits are relied on up to that age, and stale or not makes no difference before.
  const metering = fallback(() => ({ stale: false, too_old: feeds.metering.ageMs() > limitsStalenessMaxMs }));
  return joined(labelled([identity], "feed", "identity"), labelled([metering], "feed", "metering"));
}

function leaseMetrics({ book, pool, observations }: Watched): readonly Metric[] {
  const { counts } = pool;
  return [
    gauge(
      "gatehouse_leases_held",
      "Leases in hand, by the kind of their limit.",
      "sum",
      () => heldByKind(book),
      "kind",
    ),
    counter("gatehouse_acquires_total", "Requests for units to metering.", () => counts.acquires),
    counter(
      "gatehouse_acquires_failed_total",
      "Requests that metering did not answer.",
      () => counts.failedAcquires,
    ),
    counter(
      "gatehouse_acquire_asks_total",
      "What calls and refills asked for, by how metering answered.",
      () => counts.asks,
      "outcome",
    ),
    histogram(
      "gatehouse_acquire_wait_seconds",
      "How long calls waited for metering's answer.",
      observations.acquireWaits,
    ),
    gauge("gatehouse_metering_unreachable", "1 while the latest request for units failed.", "max", () =>
      Number(counts.isUnreachable),
    ),
    counter(
      "gatehouse_lease_units_granted_total",
      "Units lent by metering, by the kind of limit; of wallets, millionths.",
      () => counts.unitsGranted,
      "kind",
    ),
    counter(
      "gatehouse_refusals_remembered_total",
      "Refusals of metering's that were remembered.",
      () => counts.refusalsRemembered,
    ),
    counter(
      "gatehouse_refusals_repeated_total",
      "Calls refused by a remembered refusal, without asking.",
      () => counts.refusalsRepeated,
    ),
    counter("gatehouse_recalls_total", "Limits whose leases metering wanted back.", () => counts.recalls),
    counter(
      "gatehouse_leases_forfeited_total",
      "Leases given up because metering's history was replaced.",
      () => book.forfeited,
    ),
  ];
}

function spoolMetrics({ spool, shipper, observations }: Watched): readonly Metric[] {
  return [
    gauge(
      "gatehouse_spool_waiting_bytes",
      "Usage that metering has yet to take.",
      "sum",
      () => shipper.pendingBytes,
    ),
    gauge(
      "gatehouse_spool_waiting_batches",
      "Batches that metering has yet to take.",
      "sum",
      () => shipper.pendingBatches,
    ),
    gauge(
      "gatehouse_spool_oldest_age_seconds",
      "How long the oldest of them has waited; 0 where none does.",
      "max",
      () => shipper.oldestAgeMs / 1000,
    ),
    gauge(
      "gatehouse_spool_unsealed_segments",
      "Segments that wait to become batches.",
      "sum",
      () => spool.segments.waiting,
    ),
    gauge(
      "gatehouse_spool_stuck_epochs",
      "Epochs that cannot be shipped until an operator acts.",
      "sum",
      () => shipper.stuckEpochs,
    ),
    counter("gatehouse_spool_seals_total", "Segments that became batches.", () => spool.segments.sealed),
    counter("gatehouse_spool_shipped_batches_total", "Batches that metering took.", () => shipper.shipped),
    counter(
      "gatehouse_spool_rejected_batches_total",
      "Batches set aside: damaged, or not what metering has under their number.",
      () => shipper.rejected,
    ),
    gauge("gatehouse_spool_disk_hung", "1 while the disk does not answer an fsync.", "max", () =>
      Number(spool.isHung),
    ),
    counter(
      "gatehouse_spool_failed_turns_total",
      "Turns that could not be written; their calls were not admitted.",
      () => spool.failedTurns,
    ),
    histogram(
      "gatehouse_spool_write_duration_seconds",
      "How long the one write of a turn took.",
      observations.spoolWrites,
    ),
  ];
}

function heldByKind(book: LimitBook): Record<string, number> {
  const held = { rate: 0, quota: 0, wallet: 0 };
  for (const { limit, leases } of book.leased()) held[limit.kind] += leases.length;
  return held;
}
