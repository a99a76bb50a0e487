import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { AccountNode } from "@gatehouse/access";
import { Granularity, GroupBy } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

/**
 * P4: whatever is asked, of any node of any tree, in any zone, by any granularity and grouping, the answer is what a naive
 * sum over all that was ever used says; however it was told: in batches and reports, late and out of order.
 */

const timeoutMs = 10_000;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let root: TestKey;

beforeAll(async () => {
  root = identity.key(identity.root);
  identity.meter("tokens");
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

/** Around where clocks change, and around nothing in particular. */
const CENTERS = [
  "2025-03-09T10:00Z", // Los Angeles springs forward
  "2025-11-02T09:00Z", // Los Angeles falls back
  "2025-04-05T15:00Z", // Lord Howe goes back by half an hour
  "2025-10-04T15:30Z", // Lord Howe goes forward by half an hour
  "2024-02-29T12:00Z",
  "2025-12-31T23:50Z",
].map((text) => Date.parse(text));
const ZONES = [
  "UTC",
  "America/Los_Angeles",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Australia/Lord_Howe",
  "Pacific/Chatham",
];
const GRANULARITIES = [undefined, "MINUTE", "HOUR", "DAY", "MONTH"] as const;
const GROUPS = ["ACCOUNT", "KEY", "RESOURCE", "OUTCOME"] as const;
type Group = (typeof GROUPS)[number];

interface Use {
  readonly account: number;
  readonly key: number;
  readonly meter: string;
  readonly resource: string;
  readonly outcome: string;
  /** From the centre. */
  readonly minute: number;
  readonly units: number;
}

interface Ask {
  readonly node: number;
  readonly byKey: boolean;
  readonly descendants: boolean;
  readonly groups: readonly Group[];
  readonly granularity: (typeof GRANULARITIES)[number];
  readonly timeZone: string;
  readonly meter: string;
  readonly fromMinute: number;
  readonly minutes: number;
}

const minutes = fc.oneof(fc.integer({ min: -180, max: 180 }), fc.integer({ min: -3 * 1440, max: 40 * 1440 }));
const uses = fc.array(
  fc.record<Use>({
    account: fc.nat(7),
    key: fc.nat(2),
    meter: fc.constantFrom("requests", "tokens"),
    resource: fc.constantFrom("", "a.b", "a.c"),
    outcome: fc.constantFrom("VALID", "VALID", "VALID", "SCOPE_DENIED"),
    minute: minutes,
    units: fc.integer({ min: 1, max: 1000 }),
  }),
  { minLength: 1, maxLength: 60 },
);
const asks = fc.array(
  fc.record<Ask>({
    node: fc.nat(7),
    byKey: fc.boolean(),
    descendants: fc.boolean(),
    groups: fc.subarray([...GROUPS]),
    granularity: fc.constantFrom(...GRANULARITIES),
    timeZone: fc.constantFrom(...ZONES),
    meter: fc.constantFrom("", "tokens"),
    fromMinute: minutes,
    minutes: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 42 * 1440 })),
  }),
  { minLength: 12, maxLength: 12 },
);
/** Of each account but the first, which of those before it is its parent. */
const parents = fc.array(fc.nat(6), { minLength: 7, maxLength: 7 });
/** Which batch a use comes in; in what order batches come. */
const batches = fc.array(fc.nat(4), { minLength: 60, maxLength: 60 });

let made = 0;

test("an answer is what a naive sum says, for any tree, zone, span and grouping", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...CENTERS),
      parents,
      uses,
      batches,
      asks,
      async (centerMs, tree, used, of, asked) => {
        const accounts = [identity.account(identity.root, `top-${++made}`)];
        for (const [i, parent] of tree.entries()) {
          accounts.push(identity.account(accounts[parent % (i + 1)]!, `a-${++made}`));
        }
        const keys = Array.from({ length: 3 }, () => identity.key(accounts[0]!));
        const spool = new Holder(metering, `rollups-${made}`);
        for (const batch of new Set(of)) {
          const rows = used
            .filter((_, i) => of[i] === batch)
            .map((use) => rowOf(use, accounts, keys, centerMs));
          await spool.ship(undefined, rows);
        }
        for (const ask of asked) {
          expect(await answered(ask, accounts, keys, centerMs)).toEqual(
            naive(ask, used, accounts, keys, centerMs),
          );
        }
      },
    ),
    { numRuns: 25 },
  );
}, 120_000);

test("what is reported late adds up with what batches said, on every level", async () => {
  const nowMs = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const accounts = [identity.account(identity.root, `top-${++made}`)];
  accounts.push(identity.account(accounts[0]!, `a-${++made}`));
  const keys = [identity.key(accounts[1]!)];
  const used = Array.from({ length: 50 }, (_, i): Use => {
    const of = { account: 1, key: 0, meter: "tokens", resource: "", outcome: "VALID" };
    return { ...of, minute: -((i * 997) % (30 * 1440)), units: i + 1 };
  });
  const [shipped, reported] = [used.slice(0, 25), used.slice(25)];
  await new Holder(metering, "late").ship(
    undefined,
    shipped.map((use) => rowOf(use, accounts, keys, nowMs)),
  );
  const events = reported.map(({ minute, units }, i) => ({
    id: `${i}`,
    node: { case: "key", value: keys[0]!.id } as const,
    meter: "tokens",
    units: BigInt(units),
    time: timestampFromMs(nowMs + minute * 60_000 + 31_007),
  }));
  await metering.usage(root).reportUsage({ source: "late", events }, { timeoutMs });
  for (const granularity of GRANULARITIES) {
    for (const groups of [[], ["ACCOUNT"], ["KEY"]] as const) {
      const ask: Ask = {
        ...{
          node: 0,
          byKey: false,
          descendants: true,
          groups,
          granularity,
          timeZone: "Asia/Kolkata",
          meter: "",
        },
        ...{ fromMinute: -30 * 1440 + 7, minutes: 30 * 1440 },
      };
      expect(await answered(ask, accounts, keys, nowMs)).toEqual(naive(ask, used, accounts, keys, nowMs));
    }
  }
});

function rowOf(use: Use, accounts: readonly AccountNode[], keys: readonly TestKey[], centerMs: number) {
  const { meter, resource, outcome, minute, units } = use;
  return {
    ...{ meter, resource, outcome },
    accountId: accounts[use.account]!.id,
    keyId: keys[use.key]!.id,
    minute: BigInt(centerMs / 60_000 + minute),
    units: BigInt(units),
  };
}

async function answered(
  ask: Ask,
  accounts: readonly AccountNode[],
  keys: readonly TestKey[],
  centerMs: number,
) {
  const startMs = centerMs + ask.fromMinute * 60_000;
  const value = ask.byKey ? keys[ask.node % keys.length]!.id : accounts[ask.node]!.id;
  const { rows, nextPageToken } = await metering.usage(root).queryUsage(
    {
      node: ask.byKey ? { case: "key", value } : { case: "account", value },
      descendants: ask.descendants,
      groupBy: ask.groups.map((group) => GroupBy[group]),
      granularity: ask.granularity === undefined ? Granularity.UNSPECIFIED : Granularity[ask.granularity],
      timeZone: ask.timeZone,
      start: timestampFromMs(startMs),
      end: timestampFromMs(startMs + ask.minutes * 60_000),
      meter: ask.meter,
      pageSize: 10_000,
    },
    { timeoutMs },
  );
  expect(nextPageToken).toBe("");
  const names = rows.map((row) =>
    [timestampMs(row.start!), row.accountId, row.keyId, row.meter, row.resource, row.outcome].join(),
  );
  expect(new Set(names).size).toBe(names.length);
  return Object.fromEntries(rows.map((row, i) => [names[i]!, Number(row.units)]));
}

function naive(
  ask: Ask,
  used: readonly Use[],
  accounts: readonly AccountNode[],
  keys: readonly TestKey[],
  centerMs: number,
) {
  const startMs = centerMs + ask.fromMinute * 60_000;
  const endMs = startMs + ask.minutes * 60_000;
  const isBelow = (account: AccountNode | undefined): boolean =>
    account !== undefined &&
    (account === accounts[ask.node] || isBelow(accounts.find(({ id }) => id === account.parentId)));
  const sums: Record<string, number> = {};
  for (const use of used) {
    const atMs = centerMs + use.minute * 60_000;
    if (atMs < startMs || atMs >= endMs) continue;
    const account = accounts[use.account]!;
    const isOf = ask.byKey
      ? keys[use.key] === keys[ask.node % keys.length]
      : ask.descendants
        ? isBelow(account)
        : account === accounts[ask.node];
    if (!isOf || (ask.meter !== "" && use.meter !== ask.meter)) continue;
    if (use.outcome !== "VALID" && !ask.groups.includes("OUTCOME")) continue;
    const by = (group: Group, value: string) => (ask.groups.includes(group) ? value : "");
    const name = [
      ask.granularity === undefined ? startMs : beginning(ask.granularity, ask.timeZone, atMs),
      by("ACCOUNT", account.id),
      by("KEY", keys[use.key]!.id),
      use.meter,
      by("RESOURCE", use.resource),
      by("OUTCOME", use.outcome),
    ].join();
    sums[name] = (sums[name] ?? 0) + use.units;
  }
  return sums;
}

function beginning(granularity: "MINUTE" | "HOUR" | "DAY" | "MONTH", timeZone: string, atMs: number): number {
  if (granularity === "MINUTE") return Math.floor(atMs / 60_000) * 60_000;
  const local = Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone);
  if (granularity === "DAY") return local.startOfDay().epochMilliseconds;
  if (granularity === "MONTH") return local.with({ day: 1 }).startOfDay().epochMilliseconds;
  // By the clock as it is then: an hour that the clock goes through twice is two.
  const offsetMs = local.offsetNanoseconds / 1e6;
  return Math.floor((atMs + offsetMs) / HOUR_MS) * HOUR_MS - offsetMs;
}
