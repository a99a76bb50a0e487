import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { KeyView } from "@gatehouse/access";
import { ChangeLog, openDatabase } from "@gatehouse/changefeed";
import { type GetStatementRequestSchema, type Statement, TransactionKind } from "@gatehouse/proto/metering";
import type { Failure } from "@gatehouse/service/failure";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { getStatement } from "../src/domain/get-statement.ts";
import type { Mirror } from "../src/domain/mirror.ts";
import { maintainPartitions, usageTables } from "../src/storage/partitions.ts";
import { PostgresStatementStore } from "../src/storage/statement-store.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timely = { timeoutMs: 10_000 };
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const [team, other] = [identity.account(organization, "team"), identity.account(organization, "other")];
const funds = ["fund-manager"];
const root = identity.key(identity.root, "MASTER", undefined, funds);
const master = identity.key(organization, "MASTER", undefined, funds);
const teams = identity.key(team, "ACCOUNT", undefined, funds);
const ZONE = "Asia/Kolkata";
const DAY_MS = 86_400_000;
let postgres: TestPostgres;
let metering: TestMetering;
let holder: Holder;

beforeAll(async () => {
  identity.meter("tokens");
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
  await metering.follower.prove();
  holder = new Holder(metering, "holder");
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

const itIs = (time: string) => {
  metering.time.offsetMs = Date.parse(time) - Date.now();
};
const statement = async (
  request: MessageInitShape<typeof GetStatementRequestSchema>,
  key: TestKey = master,
): Promise<Statement> => (await metering.usage(key).getStatement(request, timely)).statement!;
const monthly = (month: string, key = master) => statement({ period: month, timeZone: ZONE }, key);
const use = (time: string, units: bigint, cost: bigint) =>
  holder.ship(undefined, [
    {
      minute: BigInt(Date.parse(time) / 60_000),
      keyId: teams.id,
      accountId: team.id,
      meter: "tokens",
      outcome: "VALID",
      units,
      cost,
      currency: "USD",
    },
  ]);
/** What is dropped at a time of which two months of usage are kept. */
const maintainAt = async (time: string) => {
  itIs(time);
  const database = await openDatabase({
    url: postgres.url,
    schema: "metering",
    entities: [],
    migrations: [],
  });
  const tables = usageTables({ minutesKeptMs: 35 * DAY_MS, quartersKeptMs: 62 * DAY_MS });
  const maintained = maintainPartitions(database, tables, () => metering.time.offsetMs);
  return (await maintained.finally(() => database.destroy())).dropped;
};
const shown = ({ usage, adjustments }: Statement) => ({
  usage: usage.map(({ accountId, meter, units, cost }) => [accountId, meter, units, cost]),
  adjustments: adjustments.map(({ usage }) => [usage!.accountId, usage!.units, usage!.cost]),
});

test("a month's statement is what was had, paid and used in it, in its zone, of the account and all below it", async () => {
  const credits = metering.credits(root);
  // Half an hour into February in Kolkata, and still January in UTC.
  itIs("2027-01-31T19:00:00Z");
  await credits.topUp({ account: organization.id, amount: 1000n, currency: "USD" }, timely);
  itIs("2027-02-10T00:00:00Z");
  const pay = { from: organization.id, to: team.id, amount: 300n, currency: "USD" };
  await metering.credits(master).transfer(pay, timely);
  await credits.adjust({ account: team.id, amount: -10n, currency: "USD", reason: "fee" }, timely);
  await use("2027-01-31T18:29:00Z", 100n, 1n);
  await use("2027-01-31T18:30:00Z", 1n, 10n);
  await use("2027-02-28T18:29:00Z", 3n, 30n);
  await use("2027-02-28T18:30:00Z", 1000n, 1n);
  itIs("2027-03-02T00:00:00Z");
  const february = await monthly("2027-02");
  expect(february).toMatchObject({ accountId: organization.id, final: true });
  expect(february.start).toEqual(timestampFromMs(Date.parse("2027-01-31T18:30:00Z")));
  expect(february.end).toEqual(timestampFromMs(Date.parse("2027-02-28T18:30:00Z")));
  const nothing = { topUps: 0n, transfers: 0n, usage: 0n, refunds: 0n, adjustments: 0n };
  expect(february.balances).toMatchObject([
    { ...nothing, currency: "USD", opening: 0n, topUps: 1000n, adjustments: -10n, closing: 990n },
  ]);
  expect(shown(february)).toEqual({ usage: [[team.id, "tokens", 4n, 40n]], adjustments: [] });
  const own = await monthly("2027-02", teams);
  expect(own.balances).toMatchObject([{ ...nothing, transfers: 300n, adjustments: -10n, closing: 290n }]);
  expect(shown(own)).toEqual(shown(february));
  expect((await monthly("2027-03")).balances).toMatchObject([{ ...nothing, opening: 990n, closing: 990n }]);
});

test("what comes for a stated month changes nothing of it, and is in the next one, once", async () => {
  const before = await monthly("2027-02");
  await use("2027-02-20T00:00:00Z", 2n, 20n);
  expect(await monthly("2027-02")).toEqual(before);
  const open = await monthly("2027-03");
  expect(open.final).toBe(false);
  expect(shown(open).adjustments).toEqual([[team.id, 2n, 20n]]);
  itIs("2027-04-05T00:00:00Z");
  const [march, again] = await Promise.all([monthly("2027-03"), monthly("2027-03")]);
  expect(march).toEqual(again);
  expect(march.final).toBe(true);
  expect(march.adjustments.map(({ start, end }) => [start, end])).toEqual([[before.start, before.end]]);
  expect(shown(await monthly("2027-04")).adjustments).toEqual([]);
  await use("2027-02-20T00:00:00Z", 1n, 10n);
  await use("2027-03-20T00:00:00Z", 7n, 70n);
  expect(await monthly("2027-03")).toEqual(march);
  const april = await monthly("2027-04");
  expect(shown(april).adjustments.sort()).toEqual([
    [team.id, 1n, 10n],
    [team.id, 7n, 70n],
  ]);
  // What was said in one zone is another's matter.
  expect(shown(await statement({ period: "2027-04", timeZone: "UTC" })).adjustments).toEqual([]);
});

test("a month that was over a moment ago is not final yet, nor one that is not over", async () => {
  itIs("2027-04-30T18:30:30Z");
  expect((await monthly("2027-04")).final).toBe(false);
  itIs("2027-04-30T18:31:30Z");
  expect((await monthly("2027-04")).final).toBe(true);
  expect((await monthly("2027-05")).final).toBe(false);
});

test("a month is over when it is for the database, whatever the clock of who asks says", async () => {
  const database = await openDatabase({
    url: postgres.url,
    schema: "metering",
    entities: [],
    migrations: [],
    poolSize: 1,
  });
  const period = new Date().toISOString().slice(0, 7);
  const dependencies = {
    mirror: { findChain: () => Promise.resolve([organization, identity.root]) } as unknown as Mirror,
    store: new PostgresStatementStore(new ChangeLog({ dataSource: database, source: "metering" })),
    nowMs: () => Date.now() + 40 * DAY_MS,
  };
  const view: KeyView = { key: master, parent: undefined, chain: [organization, identity.root] };
  const draft = { account: "", period, timeZone: "", startMs: undefined, endMs: undefined };
  try {
    expect((await getStatement(dependencies, view, draft)).isFinal).toBe(false);
  } finally {
    await database.destroy();
  }
});

test("what came late is stated once, also where months are asked for out of order", async () => {
  itIs("2028-05-02T00:00:00Z");
  await use("2028-02-10T00:00:00Z", 1n, 1n);
  expect(shown(await monthly("2028-02"))).toEqual({ usage: [[team.id, "tokens", 1n, 1n]], adjustments: [] });
  await use("2028-02-11T00:00:00Z", 10n, 10n);
  expect(shown(await monthly("2028-04")).adjustments).toEqual([[team.id, 10n, 10n]]);
  expect(shown(await monthly("2028-03"))).toEqual({ usage: [], adjustments: [] });
  await use("2028-02-12T00:00:00Z", 100n, 100n);
  expect(shown(await monthly("2028-05")).adjustments).toEqual([[team.id, 100n, 100n]]);
});

test("usage that is no longer kept is not taken back, and its month is not final where it was not before", async () => {
  await maintainAt("2029-05-01T00:00:00Z");
  await use("2029-05-10T00:00:00Z", 1000n, 10n);
  itIs("2029-08-01T00:00:00Z");
  expect(shown(await monthly("2029-05", teams)).usage).toEqual([[team.id, "tokens", 1000n, 10n]]);
  expect(await maintainAt("2029-09-02T00:00:00Z")).toContain("usage_account_20290501");
  expect(shown(await monthly("2029-08", teams))).toEqual({ usage: [], adjustments: [] });
  await use("2029-08-10T00:00:00Z", 5n, 5n);
  expect(shown(await monthly("2029-09", teams)).adjustments).toEqual([[team.id, 5n, 5n]]);
  expect((await monthly("2029-05", teams)).final).toBe(true);
  expect((await monthly("2029-05")).final).toBe(false);
});

test("a span is stated as it is now, and is the children's and the own together", async () => {
  const span = {
    start: timestampFromMs(Date.parse("2030-01-01T00:00:00Z")),
    end: timestampFromMs(Date.parse("2030-03-01T00:00:00Z")),
  };
  itIs("2030-05-01T00:00:00Z");
  await use("2030-01-20T00:00:00Z", 1n, 10n);
  const cost = (of: Statement) => of.usage.reduce((sum, line) => sum + line.cost, 0n);
  expect(cost(await statement(span))).toBe(10n);
  await use("2030-01-20T00:00:00Z", 2n, 20n);
  const whole = await statement(span);
  const parts = await Promise.all([team, other].map(({ id }) => statement({ ...span, account: id })));
  expect([whole.final, cost(whole), whole.adjustments]).toEqual([false, 30n, []]);
  expect(parts.map(cost)).toEqual([30n, 0n]);
});

test("what is kept of an account is of three zones, and of no spans", async () => {
  itIs("2030-05-01T12:00:00Z");
  const account = identity.account(organization, "zones").id;
  const isFinal = async (timeZone: string, month = "2030-03") =>
    (await statement({ account, period: month, timeZone })).final;
  for (const zone of ["UTC", ZONE, "Europe/Berlin"]) expect(await isFinal(zone)).toBe(true);
  expect(await isFinal("Asia/Tokyo")).toBe(false);
  expect(await isFinal("UTC", "2030-02")).toBe(true);
  await statement({ account, start: timestampFromMs(0), end: timestampFromMs(DAY_MS) });
  const kept = await metering.query("SELECT FROM statement WHERE account_id = $1", [account]);
  expect(kept).toHaveLength(4);
});

test("every bad field is named at once", async () => {
  const fieldsOf = (request: MessageInitShape<typeof GetStatementRequestSchema>) =>
    statement(request).then(
      () => [],
      ({ violations }: Failure) => violations.map(({ field }) => field),
    );
  expect(await fieldsOf({})).toEqual(["period"]);
  expect(await fieldsOf({ account: "\0", period: "2027-13", timeZone: "Mars" })).toEqual([
    "account",
    "period",
    "time_zone",
  ]);
  const odd = { start: timestampFromMs(1), end: timestampFromMs(2) };
  expect(await fieldsOf({ period: "2027-01", ...odd })).toEqual(["period", "start", "end"]);
  const reversed = { start: timestampFromMs(1_800_000), end: timestampFromMs(900_000) };
  expect(await fieldsOf(reversed)).toEqual(["end"]);
  expect(await fieldsOf({ period: "2150-01" })).toEqual(["period"]);
});

test("money of any quarters of an hour is what its entries add up to", async () => {
  const [one, two] = ["moved-one", "moved-two"].map((slug) => identity.account(organization, slug).id) as [
    string,
    string,
  ];
  const begin = Date.parse("2031-03-30T00:00:00Z");
  const money = { currency: "USD" };
  for (let minutes = 0; minutes < 300; minutes += 13) {
    itIs(new Date(begin + minutes * 60_000).toISOString());
    const amount = BigInt(minutes + 1);
    await metering.credits(root).topUp({ account: one, amount, ...money }, timely);
    await metering
      .credits(master)
      .transfer({ from: one, to: two, amount: amount / 2n + 1n, ...money }, timely);
    if (minutes % 3 === 0) {
      await metering.credits(root).adjust({ account: two, amount: -1n, reason: "fee", ...money }, timely);
    }
  }
  itIs("2031-04-01T00:00:00Z");
  const kinds = { topUps: "TOP_UP", transfers: "TRANSFER", adjustments: "ADJUSTMENT" } as const;
  const QUARTER_MS = 900_000;
  for (const account of [one, two]) {
    const { transactions } = await metering
      .credits(root)
      .listTransactions({ account, pageSize: 500 }, timely);
    for (let from = -2; from < 22; from += 3) {
      for (const length of [1, 2, 4, 5, 9, 16, 24]) {
        const [startMs, endMs] = [begin + from * QUARTER_MS, begin + (from + length) * QUARTER_MS];
        const { balances } = await statement({
          account,
          start: timestampFromMs(startMs),
          end: timestampFromMs(endMs),
        });
        const sum = (entries: typeof transactions) =>
          entries.reduce((total, { amount }) => total + amount, 0n);
        const before = transactions.filter(({ at }) => timestampMs(at!) < startMs);
        const within = transactions.filter(
          ({ at }) => timestampMs(at!) >= startMs && timestampMs(at!) < endMs,
        );
        const [stated] = balances;
        expect([stated?.opening ?? 0n, stated?.closing ?? 0n]).toEqual([
          sum(before),
          sum(before) + sum(within),
        ]);
        for (const [field, kind] of Object.entries(kinds)) {
          const of = within.filter((entry) => TransactionKind[entry.kind] === kind);
          expect(stated?.[field as keyof typeof kinds] ?? 0n, `${field} of ${from} ${length}`).toBe(sum(of));
        }
      }
    }
  }
});
