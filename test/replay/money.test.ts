import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Gatehouse, gatehouse } from "@gatehouse/client";
import { GroupBy, TransactionKind } from "@gatehouse/proto/metering";
import { anyPorts, type Stack, startStack } from "@gatehouse/stack";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readReplayConfig } from "./config.ts";
import { silent } from "./progress.ts";
import { type ReplayResult, replay } from "./replay.ts";
import { isExact } from "./report.ts";

/** The folder of the reference traces, which are not part of the project. */
const TRACES = process.env.GATEHOUSE_TRACES;
const llmTrace = join(TRACES ?? "", "azure-llm-inference-trace-conv.csv");
const MILLION = 1_000_000n;
const HOUR_MS = 3_600_000;
const currency = "USD";

/** Micros for a million, by meter; what is not there is free. */
type Prices = Readonly<Record<string, bigint>>;

let directory: string;
let stack: Stack;
let root: Gatehouse;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-replay-"));
  stack = await startStack({
    directory,
    ports: anyPorts,
    postgresSettings: ["fsync=off"],
    logLevel: "error",
  });
  const [identity, authz, metering] = urls();
  const key = (await readFile(stack.rootKeyPath, "utf8")).trim();
  root = gatehouse({ key, identity, authz, metering, timeoutMs: 20_000 });
});

afterAll(async () => {
  root?.close();
  await stack?.close();
  await rm(directory, { recursive: true, force: true });
});

function urls(): [identity: string, authz: string, metering: string] {
  const { identity, authz, metering } = stack;
  return [`http://${identity.grpcAddress}`, `http://${authz.grpcAddress}`, `http://${metering.grpcAddress}`];
}

function run(organization: string, file: string, ...args: string[]): Promise<ReplayResult> {
  const [identity, authz, metering] = urls();
  const where = [
    ...["--identity", identity, "--authz", authz, "--metering", metering, "--root-key", stack.rootKeyPath],
    ...["--organization", organization, "--state", join(directory, `${organization}.json`)],
  ];
  return replay(readReplayConfig([file, ...where, ...args], {})!, silent);
}

/** What units cost, to the last whole micro of each meter, as one replica that was never restarted charges them. */
function costOf(meters: readonly string[], units: readonly bigint[], prices: Prices): bigint {
  return meters.reduce((sum, meter, i) => sum + (units[i]! * (prices[meter] ?? 0n)) / MILLION, 0n);
}

async function setPrices(prices: Prices): Promise<void> {
  for (const [meter, price] of Object.entries(prices)) {
    await root.credits.setPrice({ meter, currency, price, perUnits: MILLION });
  }
}

/** Pays for the organization, and hands on to each of its accounts what it is to have. */
async function fill(organization: string, wallets: ReadonlyMap<string, bigint>): Promise<void> {
  const total = [...wallets.values()].reduce((sum, amount) => sum + amount, 0n);
  const payment = { reference: "invoice", idempotencyKey: `pay ${organization}` };
  await root.credits.topUp({ account: organization, amount: total, currency, ...payment });
  const transfers = [...wallets].map(([to, amount]) =>
    root.credits.transfer({ from: organization, to, amount, currency, idempotencyKey: `fill ${to}` }),
  );
  await Promise.all(transfers);
}

/** What usage cost each account below the organization and including it, as usage says. */
async function usageCosts(organization: string): Promise<Map<string, bigint>> {
  const [start, end] = [timestampFromMs(Date.now() - HOUR_MS), timestampFromMs(Date.now() + HOUR_MS)];
  const node = { case: "account", value: organization } as const;
  const asked = { node, descendants: true, groupBy: [GroupBy.ACCOUNT], start, end, pageSize: 10_000 };
  const { rows } = await root.usage.queryUsage(asked);
  const costs = new Map<string, bigint>();
  for (const { accountId, cost } of rows) costs.set(accountId, (costs.get(accountId) ?? 0n) + cost);
  return costs;
}

/** What usage took of one account's wallet, as the ledger says. */
async function posted(account: string): Promise<bigint> {
  let sum = 0n;
  let pageToken = "";
  do {
    const kinds = [TransactionKind.USAGE];
    const page = await root.credits.listTransactions({ account, currency, kinds, pageSize: 500, pageToken });
    for (const { amount } of page.transactions) sum -= amount;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return sum;
}

/**
 * Every account was charged what its admitted calls cost, in usage and in the ledger, and has the rest; the organization's
 * bill is theirs together.
 */
async function expectBilled(result: ReplayResult, prices: Prices, wallets: ReadonlyMap<string, bigint>) {
  const { meters, tally, organization } = result;
  const costs = await usageCosts(organization.id);
  let total = 0n;
  for (const [id, { admitted }] of tally.accounts) {
    const cost = costOf(meters, admitted, prices);
    const { balance } = await root.credits.getBalance({ account: id, currency });
    expect({ usage: costs.get(id) ?? 0n, ledger: await posted(id), balance: balance!.amount }).toEqual({
      usage: cost,
      ledger: cost,
      balance: wallets.get(id)! - cost,
    });
    total += cost;
  }
  const node = { case: "account", value: organization.id } as const;
  const [start, end] = [timestampFromMs(Date.now() - HOUR_MS), timestampFromMs(Date.now() + HOUR_MS)];
  const { rows } = await root.usage.queryUsage({ node, descendants: true, start, end });
  expect(rows.reduce((sum, { cost }) => sum + cost, 0n)).toBe(total);
  return total;
}

describe("a small log with prices", () => {
  it("is billed to the micro, and a wallet pays for as many calls as it can", async () => {
    const line = (client: number) =>
      `10.0.0.${client} - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1000 "-" "-"\n`;
    const file = join(directory, "small.log");
    await writeFile(file, line(1).repeat(30) + line(2).repeat(30));
    const free = await run("Priced", file);
    const [one, two] = ["ip-10-0-0-1", "ip-10-0-0-2"].map((slug) => free.accounts.ids.get(slug)!);
    // A thousand bytes are 90 micros.
    const prices = { bytes: 90_000n };
    await setPrices(prices);
    const wallets = new Map([
      [one!, 10_000n],
      [two!, 12n * 90n + 89n],
    ]);
    await fill(free.organization.id, wallets);
    const result = await run("Priced", file);
    expect(result.differences).toEqual([]);
    expect(result.tally.accounts.get(one!)!.admitted[0]).toBe(30n);
    expect(result.tally.accounts.get(two!)!.admitted[0]).toBe(12n);
    expect([...result.tally.refusals.values()].map(({ code }) => code)).toEqual(["CREDIT_EXHAUSTED"]);
    expect(await expectBilled(result, prices, wallets)).toBe(42n * 90n);
  }, 60_000);
});

describe.skipIf(TRACES === undefined)(
  "the LLM trace with prices (skipped unless GATEHOUSE_TRACES names its folder)",
  () => {
    const columns = ["--meters", "context=ContextTokens,generated=GeneratedTokens", "--by", "hash:8"];
    /** Dollars a million tokens: 0.15 and 0.60. */
    const prices = { context: 150_000n, generated: 600_000n };

    it("is billed to the micro: departments' bills add up to the organization's, and that to the trace", async () => {
      const free = await run("Models", llmTrace, ...columns);
      expect(isExact(free)).toBe(true);
      await setPrices(prices);
      const { meters } = free;
      const departments = [...free.tally.accounts];
      // Every second department gets less than it would need: 1/2, 1/4, 1/6, …
      const wallets = new Map(
        departments.map(([id, { sent }], i) => {
          const cost = costOf(meters, sent, prices);
          return [id, i % 2 === 0 ? cost : cost / BigInt(i + 1)];
        }),
      );
      await fill(free.organization.id, wallets);
      const quotas = ["--quota", "context=20000000/month", "--department-quota", "generated=600000/day"];
      const result = await run("Models", llmTrace, ...columns, ...quotas);
      expect(result.differences).toEqual([]);
      expect(result.faults).toEqual([]);
      const total = await expectBilled(result, prices, wallets);
      const refused = costOf(meters, result.tally.total("refused"), prices);
      const whole = costOf(meters, result.tally.total("sent"), prices);
      // Each department rounds down by itself, for each meter.
      expect(whole - refused - total).toBeLessThanOrEqual(BigInt(2 * departments.length + 2));
      expect(whole - refused).toBeGreaterThanOrEqual(total);
      const most = await mostExpensive(llmTrace);
      for (const [i, [id]] of departments.entries()) {
        const { admitted, refused } = result.tally.accounts.get(id)!;
        const left = wallets.get(id)! - costOf(meters, admitted, prices);
        expect(left).toBeGreaterThanOrEqual(0n);
        if (i % 2 === 0) continue;
        expect(refused[0]).toBeGreaterThan(0n);
        expect(left).toBeLessThan(most);
      }
    }, 120_000);
  },
);

/** What the most expensive call of the trace costs, rounded up. */
async function mostExpensive(file: string): Promise<bigint> {
  const lines = (await readFile(file, "utf8")).trim().split("\n").slice(1);
  const costs = lines.map((line) => {
    const [, context, generated] = line.split(",").map(Number);
    return context! * 0.15 + generated! * 0.6;
  });
  return BigInt(Math.ceil(Math.max(...costs)) + 1);
}
