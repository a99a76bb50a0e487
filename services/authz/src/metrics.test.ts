import { Follower, type Moment, type Position } from "@gatehouse/changefeed";
import { createRegistry } from "@gatehouse/service";
import { describe, expect, it } from "vitest";
import { DecisionCounts } from "./domain/decisions.ts";
import { FakeIdentity } from "./domain/identity.fixture.ts";
import { IdentityCache } from "./domain/identity-cache.ts";
import { LeaseCounts } from "./domain/lease-counts.ts";
import type { Limit } from "./domain/limit.ts";
import { LimitBook } from "./domain/limit-book.ts";
import { Waiters } from "./domain/waiters.ts";
import { AuthzObservations, authzMetrics } from "./metrics.ts";

const CAPACITY = 10;
const LIFETIME_MS = 60_000;
const head: Position = { incarnation: "one", revision: 1 };

/** A replica's insides in the test's hands, and what /metrics says of them. */
class Replica {
  now = { wallMs: 1_800_000_000_000, monotonicMs: 0 };
  readonly clock = { now: (): Moment => ({ ...this.now }) };
  readonly identity = new FakeIdentity();
  readonly cache = new IdentityCache({
    capacity: CAPACITY,
    lifetimeMs: LIFETIME_MS,
    nowMs: () => this.now.wallMs,
  });
  readonly book = new LimitBook(CAPACITY);
  readonly decisions = new DecisionCounts();
  readonly leases = new LeaseCounts();
  readonly observations = new AuthzObservations();
  isSourceAway = false;
  readonly feed = new Follower({
    source: {
      head: async () => {
        if (this.isSourceAway) throw new Error("away");
        return head;
      },
      changes: async () => [],
    },
    replica: { position: () => undefined, apply: (after) => after, restart: (at) => at },
    clock: this.clock,
  });
  readonly shipper = {
    pendingBatches: 0,
    pendingBytes: 0,
    oldestAgeMs: 0,
    shipped: 0,
    rejected: 0,
    stuckEpochs: 0,
  };

  constructor() {
    this.cache.restart(this.identity.position);
  }

  pass(ms: number): void {
    this.now = { wallMs: this.now.wallMs + ms, monotonicMs: this.now.monotonicMs + ms };
  }

  fill(keyId: string): void {
    this.identity.putKey(keyId, { accountId: "acc_org" });
    this.cache.apply(this.cache.position()!, this.identity.changesAfter(this.cache.position()!.revision));
    this.cache.fillKey(keyId, this.identity.resolveKeys([keyId]));
  }

  async shown(): Promise<string[]> {
    const registry = createRegistry(
      "authz",
      authzMetrics({
        verifier: { counts: this.decisions, waiters: new Waiters() },
        nonces: { size: 7 },
        cache: this.cache,
        reader: { reads: { begun: 3, failed: 1 } },
        book: this.book,
        pool: { counts: this.leases },
        activity: { backlog: 5 },
        memory: { size: 4 },
        spool: { failedTurns: 2, segments: { sealed: 9, waiting: 1 }, isHung: true },
        shipper: this.shipper,
        feeds: { identity: this.feed, metering: this.feed },
        identityBounds: { boundMs: 1000, stalenessMaxMs: 10_000 },
        limitsStalenessMaxMs: 60_000,
        observations: this.observations,
      }),
    );
    const text = await registry.metrics();
    return text.split("\n").map((line) => line.replace(/,?service="authz"/, "").replace("{}", ""));
  }
}

describe("what /metrics shows of a replica", () => {
  it("is its decisions, by every code and cause that there are", async () => {
    const replica = new Replica();
    replica.decisions.count("VALID");
    replica.decisions.count("INDETERMINATE", "not_now");
    const lines = await replica.shown();
    expect(lines).toContain('gatehouse_decisions_total{code="VALID"} 1');
    expect(lines).toContain('gatehouse_decisions_total{code="REPLAYED"} 0');
    expect(lines).toContain('gatehouse_indeterminate_total{cause="not_now"} 1');
    expect(lines).toContain('gatehouse_indeterminate_total{cause="identity"} 0');
  });

  it("is its cache: what is there, what was pushed out, outlived, and came too late", async () => {
    const replica = new Replica();
    for (let i = 0; i < CAPACITY + 3; i++) replica.fill(`key_${i}`);
    const late = replica.identity.resolveKeys(["key_late"]);
    replica.identity.putKey("key_late", { accountId: "acc_org" });
    replica.cache.apply(
      replica.cache.position()!,
      replica.identity.changesAfter(replica.cache.position()!.revision),
    );
    expect(replica.cache.fillKey("key_late", late)).toBe(false);
    replica.cache.key(`key_${CAPACITY + 2}`);
    replica.cache.key("key_none");
    replica.pass(LIFETIME_MS);
    replica.cache.key(`key_${CAPACITY + 2}`);
    const lines = await replica.shown();
    for (const line of [
      `gatehouse_cache_entries{of="keys"} ${CAPACITY - 1}`,
      'gatehouse_cache_entries{of="accounts"} 2',
      `gatehouse_cache_bytes ${replica.cache.bytes}`,
      'gatehouse_cache_evictions_total{of="keys"} 3',
      "gatehouse_cache_expirations_total 1",
      "gatehouse_cache_fills_discarded_total 1",
      'gatehouse_cache_lookups_total{result="hit"} 1',
      'gatehouse_cache_lookups_total{result="miss"} 2',
      "gatehouse_identity_reads_failed_total 1",
    ])
      expect(lines).toContain(line);
  });

  it("is its leases by the kind of limit, and those that a restored metering made it give up", async () => {
    const replica = new Replica();
    const { book, leases } = replica;
    book.restart(head);
    const limit: Limit = {
      id: "lim_1",
      nodeId: "acc_1",
      meter: "requests",
      pattern: "",
      kind: "rate",
      enforcement: "ENFORCE",
    };
    book.fill("acc_1", [limit], head);
    const bucket = book.bucket("lim_1")!;
    const deadline = { wallMs: Number.POSITIVE_INFINITY, monotonicMs: Number.POSITIVE_INFINITY };
    const lease = {
      id: "lease_1",
      ref: undefined,
      units: 20,
      deadline,
      lifeMs: 60_000,
      left: 20,
      spends: [],
      reported: 0,
    };
    bucket.grant(lease, replica.clock.now());
    book.lent(bucket);
    leases.unitsGranted.rate += 20;
    leases.isUnreachable = true;
    let lines = await replica.shown();
    expect(lines).toContain('gatehouse_leases_held{kind="rate"} 1');
    expect(lines).toContain('gatehouse_leases_held{kind="quota"} 0');
    expect(lines).toContain('gatehouse_lease_units_granted_total{kind="rate"} 20');
    expect(lines).toContain("gatehouse_metering_unreachable 1");
    book.restart({ incarnation: "two", revision: 1 });
    lines = await replica.shown();
    expect(lines).toContain('gatehouse_leases_held{kind="rate"} 0');
    expect(lines).toContain("gatehouse_leases_forfeited_total 1");
  });

  it("is how old its state is, and what that means for its answers", async () => {
    const replica = new Replica();
    const fallback = async () =>
      (await replica.shown())
        .filter((line) => line.startsWith("gatehouse_feed_fallback") && line.endsWith(" 1"))
        .map((line) => line.slice("gatehouse_feed_fallback".length, -2));
    expect(await replica.shown()).toContain('gatehouse_feed_age_seconds{feed="identity"} +Inf');
    expect(await fallback()).toEqual([
      '{feed="identity",state="too_old"}',
      '{feed="metering",state="too_old"}',
    ]);
    await replica.feed.prove();
    expect(await fallback()).toEqual([]);
    replica.pass(2000);
    expect(await replica.shown()).toContain('gatehouse_feed_age_seconds{feed="identity"} 2');
    expect(await fallback()).toEqual(['{feed="identity",state="stale"}']);
    replica.isSourceAway = true;
    await replica.feed.prove().catch(() => {});
    replica.pass(9000);
    expect(await fallback()).toEqual(['{feed="identity",state="too_old"}']);
    const lines = await replica.shown();
    expect(lines).toContain('gatehouse_feed_failed_proofs_total{feed="identity"} 1');
    expect(lines).toContain('gatehouse_feed_proofs_total{feed="identity"} 2');
    expect(lines).toContain('gatehouse_feed_restarts_total{feed="identity"} 1');
  });

  it("is its spool: what waits, for how long, and what went wrong", async () => {
    const replica = new Replica();
    Object.assign(replica.shipper, {
      pendingBatches: 2,
      pendingBytes: 300,
      oldestAgeMs: 1500,
      rejected: 1,
      stuckEpochs: 1,
    });
    replica.observations.spoolWrites.observe(0.04);
    const lines = await replica.shown();
    for (const line of [
      "gatehouse_spool_waiting_batches 2",
      "gatehouse_spool_waiting_bytes 300",
      "gatehouse_spool_oldest_age_seconds 1.5",
      "gatehouse_spool_rejected_batches_total 1",
      "gatehouse_spool_stuck_epochs 1",
      "gatehouse_spool_failed_turns_total 2",
      "gatehouse_spool_disk_hung 1",
      'gatehouse_spool_write_duration_seconds_bucket{le="0.00005"} 1',
    ])
      expect(lines).toContain(line);
  });
});
