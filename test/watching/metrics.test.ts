import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Window } from "@gatehouse/proto/metering";
import { beforeAll, describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { type Scraped, scrape } from "../system/scrape.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { ask, askUntilValid } from "../system/verifying.ts";

/** What an operator sees of a deployment at work, and of one in trouble. */

const environment = { GATEHOUSE_STALENESS_MAX: "5s" };
const system = useSystem({ replicas: [{ environment }, { environment }] });

let organization: Organization;
const QUOTA = 1000;

const seen = (replica = 0): Promise<Scraped> => scrape(system().replicas[replica]!.process);
const keyOf = (subaccount: number): string => organization.subaccounts[subaccount]!.key.secret;

/** Waits until a number is as it should be: much of it is counted a moment after the answer. */
function untilShown(
  name: string,
  labels: Readonly<Record<string, string>>,
  isRight: (value: number) => boolean,
  replica = 0,
): Promise<true> {
  return until(
    `${name} ${JSON.stringify(labels)}`,
    async () => isRight((await seen(replica)).value(name, labels)) || undefined,
  );
}

const isPositive = (value: number) => value > 0;

async function setQuota(account: string, units: number): Promise<void> {
  const allowance = { case: "quota", value: { units: BigInt(units), window: Window.NEVER } } as const;
  await system().root.limits.setLimit({ node: { case: "account", value: account }, allowance }, timely);
}

beforeAll(async () => {
  organization = await makeOrganization(system(), "Watched", ["one", "two", "three", "four"]);
  await setQuota(organization.id, QUOTA);
});

describe("a replica at work", () => {
  test("shows misses and hits, and what was read for them", async () => {
    const before = await seen();
    await askUntilValid(system().root, 0, { key: keyOf(0) });
    const cold = await seen();
    const since = (name: string, labels = {}) => cold.value(name, labels) - before.value(name, labels);
    expect(since("gatehouse_cache_lookups_total", { result: "miss" })).toBeGreaterThan(0);
    expect(since("gatehouse_identity_reads_total")).toBeGreaterThan(0);
    expect(since("gatehouse_cache_entries", { of: "keys" })).toBeGreaterThan(0);
    expect(since("gatehouse_cache_entries", { of: "limits" })).toBeGreaterThan(0);
    await ask(system().root, 0, { key: keyOf(0) });
    const warm = await seen();
    const misses = { result: "miss" };
    expect(warm.value("gatehouse_cache_lookups_total", misses)).toBe(
      cold.value("gatehouse_cache_lookups_total", misses),
    );
    expect(warm.value("gatehouse_cache_lookups_total", { result: "hit" })).toBeGreaterThan(
      cold.value("gatehouse_cache_lookups_total", { result: "hit" }),
    );
    expect(warm.value("gatehouse_identity_reads_total")).toBe(cold.value("gatehouse_identity_reads_total"));
  });

  test("shows decisions by code, and names that mean nothing", async () => {
    const before = await seen();
    await ask(system().root, 0, { key: keyOf(0) });
    const nowhere = { key: organization.key.secret, account: "no-such-account" };
    expect((await ask(system().root, 0, nowhere)).code).toBe("TARGET_NOT_FOUND");
    expect((await ask(system().root, 0, nowhere)).code).toBe("TARGET_NOT_FOUND");
    const after = await seen();
    const decided = (code: string) =>
      after.value("gatehouse_decisions_total", { code }) -
      before.value("gatehouse_decisions_total", { code });
    expect([decided("VALID"), decided("TARGET_NOT_FOUND"), decided("NOT_FOUND")]).toEqual([1, 2, 0]);
    expect(after.value("gatehouse_cache_lookups_total", { result: "unknown" })).toBeGreaterThan(0);
    expect(after.value("gatehouse_cache_entries", { of: "unknown" })).toBeGreaterThan(0);
  });

  test("shows how many calls batches have, and how long calls take, finely", async () => {
    const requests = Array.from({ length: 3 }, () => ({ key: keyOf(0) }));
    await system().root.authz[0]!.batchVerify({ requests }, timely);
    const shown = await seen();
    expect(shown.value("gatehouse_batch_items_count")).toBe(1);
    expect(shown.value("gatehouse_batch_items_sum")).toBe(3);
    expect(shown.value("gatehouse_batch_items_bucket", { le: "2" })).toBe(0);
    const method = "gatehouse.authz.v1.AuthzService/Verify";
    expect(shown.value("gatehouse_rpc_duration_seconds_count", { method })).toBeGreaterThan(3);
    expect(
      shown.value("gatehouse_rpc_duration_seconds_bucket", { method, le: "0.00035" }),
    ).toBeGreaterThanOrEqual(0);
  });

  test("shows its leases, what it was lent and how long calls waited for it", async () => {
    const shown = await seen();
    expect(shown.value("gatehouse_leases_held", { kind: "quota" })).toBeGreaterThan(0);
    expect(shown.value("gatehouse_lease_units_granted_total", { kind: "quota" })).toBeGreaterThan(0);
    expect(shown.value("gatehouse_acquires_total")).toBeGreaterThan(0);
    expect(shown.value("gatehouse_acquire_asks_total", { outcome: "GRANTED" })).toBeGreaterThan(0);
    expect(shown.value("gatehouse_acquire_wait_seconds_count")).toBeGreaterThan(0);
    expect(shown.value("gatehouse_metering_unreachable")).toBe(0);
  });

  test("shows its spool: writes, seals, what was shipped, and nothing that waits", async () => {
    await untilShown("gatehouse_spool_shipped_batches_total", {}, isPositive);
    // Both of one moment: the next segment may be sealed before the next look.
    const shown = await until("a spool of which nothing waits", async () => {
      const now = await seen();
      const waiting = ["gatehouse_spool_waiting_batches", "gatehouse_spool_oldest_age_seconds"];
      return waiting.every((name) => now.value(name) === 0) ? now : undefined;
    });
    expect(shown.value("gatehouse_spool_write_duration_seconds_count")).toBeGreaterThan(0);
    expect(shown.value("gatehouse_spool_seals_total")).toBeGreaterThan(0);
    expect(shown.value("gatehouse_spool_failed_turns_total")).toBe(0);
  });

  test("shows both feeds: proven a moment ago, with bells heard", async () => {
    await organization.master.accounts.createAccount({ name: "Another" }, timely);
    await untilShown("gatehouse_feed_bells_total", { feed: "identity" }, isPositive);
    const shown = await seen();
    for (const feed of ["identity", "metering"]) {
      expect(shown.value("gatehouse_feed_age_seconds", { feed })).toBeLessThan(1);
      expect(shown.value("gatehouse_feed_revision", { feed })).toBeGreaterThan(0);
      expect(shown.value("gatehouse_feed_proofs_total", { feed })).toBeGreaterThan(0);
      expect(shown.value("gatehouse_feed_restarts_total", { feed })).toBe(1);
      expect(shown.value("gatehouse_feed_out_of_reach", { feed })).toBe(0);
      expect(shown.value("gatehouse_feed_fallback", { feed, state: "too_old" })).toBe(0);
    }
  });

  test("shows recalls, and refusals that it did not have to ask for again", async () => {
    const { id, key } = organization.subaccounts[3]!;
    await setQuota(id, 10);
    await askUntilValid(system().root, 0, { key: key.secret });
    // What the other replica cannot have of metering, it has to have of this one.
    await until("a recall", async () => {
      await ask(system().root, 1, { key: key.secret });
      return (await seen()).value("gatehouse_recalls_total") > 0;
    });
    await until(
      "the quota is used up",
      async () => (await ask(system().root, 0, { key: key.secret })).code === "QUOTA_EXCEEDED",
    );
    await until("a refusal is remembered", async () => {
      await ask(system().root, 0, { key: key.secret });
      return (await seen()).value("gatehouse_refusals_repeated_total") > 0;
    });
    const shown = await seen();
    expect(shown.value("gatehouse_refusals_remembered_total")).toBeGreaterThan(0);
    expect(shown.value("gatehouse_decisions_total", { code: "QUOTA_EXCEEDED" })).toBeGreaterThan(1);
    expect((await scrape(system().metering)).value("gatehouse_recalls_delivered_total")).toBeGreaterThan(0);
  });
});

describe("identity and metering at work", () => {
  test("show what became of reported events, and how money moved", async () => {
    const before = await scrape(system().metering);
    const { root } = system();
    const time = timestampFromMs(Date.now());
    const node = { case: "account", value: organization.id } as const;
    const event = { id: "one", node, meter: "requests", units: 1n, time };
    const events = [
      event,
      event,
      { ...event, id: "two", meter: "none" },
      { ...event, id: "three", units: -1n },
    ];
    await root.usage.reportUsage({ source: "watched", events }, timely);
    const { id: account } = organization;
    await Promise.all(
      [1n, 2n].map((amount) =>
        root.credits.topUp({ account, amount, currency: "USD", reference: "" }, timely),
      ),
    );
    const after = await scrape(system().metering);
    const since = (name: string, labels = {}) => after.value(name, labels) - before.value(name, labels);
    const outcomes = ["BOOKED", "DUPLICATE", "NOT_FOUND", "INVALID_FIELD", "IDEMPOTENCY_MISMATCH"];
    expect(outcomes.map((outcome) => since("gatehouse_reported_events_total", { outcome }))).toEqual([
      ...[1, 1, 1, 1, 0],
    ]);
    expect(since("gatehouse_money_wait_seconds_count")).toBe(2);
    expect(since("gatehouse_money_rounds_total")).toBeGreaterThan(0);
    expect(after.value("gatehouse_money_waiting")).toBe(0);
  });

  test("show their pools, and metering what it takes in and lends", async () => {
    const metering = await scrape(system().metering);
    for (const name of [
      "gatehouse_ingest_batches_total",
      "gatehouse_ingest_rows_total",
      "gatehouse_acquire_rounds_total",
      "gatehouse_recall_streams",
    ])
      expect(metering.value(name), name).toBeGreaterThan(0);
    expect(metering.value("gatehouse_ingest_quarantined_rows_total")).toBe(0);
    expect(metering.value("gatehouse_feed_age_seconds", { feed: "identity" })).toBeLessThan(1);
    const identity = await scrape(system().identity);
    for (const [shown, pools] of [
      [identity, ["changes", "feed"]],
      [metering, ["work", "quick"]],
    ] as const) {
      for (const pool of pools) {
        const connections = ["busy", "idle"].map((state) =>
          shown.value("gatehouse_database_connections", { pool, state }),
        );
        expect(connections[0]! + connections[1]!, pool).toBeGreaterThan(0);
      }
    }
  });
});

describe("a replica in trouble", () => {
  test("shows a metering out of reach: what waits in the spool, and what cannot be decided for it", async () => {
    const { replicas, root } = system();
    const { id, key } = organization.subaccounts[1]!;
    await setQuota(id, 100_000);
    const link = replicas[0]!.links.metering;
    // In hand, so that calls go on being charged while metering is away.
    await askUntilValid(root, 0, { key: keyOf(0) });
    link.cut();
    try {
      await until("a batch waits", async () => {
        await ask(root, 0, { key: keyOf(0) });
        return (await seen()).value("gatehouse_spool_waiting_batches") > 0;
      });
      await until(
        "a call that needs metering",
        async () => (await ask(root, 0, { key: key.secret })).code === "INDETERMINATE",
      );
      await untilShown("gatehouse_feed_out_of_reach", { feed: "metering" }, (value) => value === 1);
      const shown = await seen();
      for (const name of [
        "gatehouse_spool_waiting_bytes",
        "gatehouse_spool_oldest_age_seconds",
        "gatehouse_acquires_failed_total",
        "gatehouse_metering_unreachable",
      ])
        expect(shown.value(name), name).toBeGreaterThan(0);
      expect(shown.value("gatehouse_indeterminate_total", { cause: "metering" })).toBeGreaterThan(0);
      expect(shown.value("gatehouse_feed_failed_proofs_total", { feed: "metering" })).toBeGreaterThan(0);
    } finally {
      link.mend();
    }
    await untilShown("gatehouse_spool_waiting_batches", {}, (waiting) => waiting === 0);
    await untilShown("gatehouse_feed_out_of_reach", { feed: "metering" }, (value) => value === 0);
  });

  test("shows an identity out of reach: stale answers first, then none", async () => {
    const { replicas, root } = system();
    const link = replicas[0]!.links.identity;
    await askUntilValid(root, 0, { key: keyOf(0) });
    link.cut();
    try {
      await untilShown(
        "gatehouse_feed_fallback",
        { feed: "identity", state: "stale" },
        (value) => value === 1,
      );
      await ask(root, 0, { key: keyOf(0) });
      await untilShown(
        "gatehouse_feed_fallback",
        { feed: "identity", state: "too_old" },
        (value) => value === 1,
      );
      expect((await ask(root, 0, { key: keyOf(0) })).code).toBe("INDETERMINATE");
      const shown = await seen();
      expect(shown.value("gatehouse_indeterminate_total", { cause: "identity" })).toBeGreaterThan(0);
      expect(shown.value("gatehouse_feed_age_seconds", { feed: "identity" })).toBeGreaterThan(2);
      expect(shown.value("gatehouse_feed_failed_proofs_total", { feed: "identity" })).toBeGreaterThan(0);
      expect(shown.value("gatehouse_activity_backlog")).toBeGreaterThan(0);
    } finally {
      link.mend();
    }
    await untilShown(
      "gatehouse_feed_fallback",
      { feed: "identity", state: "too_old" },
      (value) => value === 0,
    );
    await untilShown("gatehouse_activity_backlog", {}, (backlog) => backlog === 0);
  });

  test("shows of its callers nothing but numbers", async () => {
    const ids = [organization.id, organization.key.id, organization.slug];
    for (const { text } of [await seen(), await scrape(system().metering), await scrape(system().identity)]) {
      for (const each of [...ids, organization.key.secret, keyOf(0), "127.0.0.1"])
        expect(text).not.toContain(each);
    }
  });
});
