/**
 * QueryUsage: a month of one organization with a thousand keys by account and day, in a half-hour zone, beside the same sum
 * over what keys used.
 */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Granularity, GroupBy, UsageService } from "@gatehouse/proto/metering";
import { grpcClient } from "@gatehouse/service";
import { heading, table } from "./table.ts";
import { makeUsageWorld, type UsageWorld } from "./usage-world.ts";
import { sizesOf } from "./usage-writes.ts";
import { timely } from "./warm-keys.ts";

const ACCOUNTS = 50;
const KEYS = 1000;
const DAYS = 31;
const QUERIES = 300;
const BY_KEY_QUERIES = 5;
const ZONE = "Asia/Kolkata";

export interface UsageReport {
  readonly bench: "usage";
  readonly settings: Record<string, string | number>;
  readonly sizes: Readonly<Record<string, number>>;
  readonly rows: number;
  /** Milliseconds. */
  readonly byAccount: Latency;
  readonly whole: Latency;
  readonly overKeys: Latency;
}

interface Latency {
  readonly p50: number;
  readonly p99: number;
}

export async function benchUsage(): Promise<UsageReport> {
  const world = await makeUsageWorld(ACCOUNTS, KEYS);
  try {
    const sql = await world.connect();
    await fill(world);
    const { rootKey, metering } = world.deployment;
    const client = grpcClient(UsageService, metering, { headers: { "x-api-key": rootKey } });
    const month = {
      node: { case: "account" as const, value: world.organization },
      descendants: true,
      timeZone: ZONE,
      start: timestampFromMs(Date.parse("2026-03-01T00:00:00+05:30")),
      end: timestampFromMs(Date.parse("2026-04-01T00:00:00+05:30")),
      pageSize: 10_000,
    };
    const days = { ...month, granularity: Granularity.DAY, groupBy: [GroupBy.ACCOUNT] };
    const { rows } = await client.queryUsage(days, timely);
    const byAccount = await latency(QUERIES, () => client.queryUsage(days, timely));
    const whole = await latency(QUERIES, () => client.queryUsage(month, timely));
    const overKeys = await latency(BY_KEY_QUERIES, () =>
      sql.query(
        `SELECT date_trunc('day', start, $2) AS day, account_id, sum(units) FROM usage_quarter
         WHERE account_id IN (SELECT id FROM account WHERE path @> ARRAY[$1]) AND outcome = 'VALID'
           AND start >= '2026-03-01T00:00:00+05:30' AND start < '2026-04-01T00:00:00+05:30' GROUP BY 1, 2`,
        [world.organization, ZONE],
      ),
    );
    client.close();
    return {
      bench: "usage",
      settings: { node: process.version, accounts: ACCOUNTS, keys: KEYS, zone: ZONE, queries: QUERIES },
      sizes: await sizesOf(sql, ["usage_quarter", "usage_account"]),
      rows: rows.length,
      ...{ byAccount, whole, overKeys },
    };
  } finally {
    await world.stop();
  }
}

export function usageTable({ settings, sizes, rows, byAccount, whole, overKeys }: UsageReport): string {
  const row = (name: string, { p50, p99 }: Latency) => [name, p50.toFixed(1), p99.toFixed(1)];
  return [
    heading("A month of one organization", settings),
    table(
      ["", "p50 ms", "p99 ms"],
      [
        row(`by account and day, ${rows} rows`, byAccount),
        row("as one sum", whole),
        row("by account and day, over what keys used", overKeys),
      ],
    ),
    Object.entries(sizes)
      .map(([name, count]) => `${name} ${count} rows`)
      .join(", "),
  ].join("\n");
}

/** Every key used something in every quarter of an hour. */
async function fill({ connect, keys }: UsageWorld): Promise<void> {
  const sql = await connect();
  for (let day = 0; day < DAYS + 2; day++) {
    await sql.query(
      `INSERT INTO usage_quarter (start, account_id, key_id, meter, resource, outcome, units)
       SELECT timestamptz '2026-02-28T00:00:00Z' + $1 * interval '1 day' + q * interval '15 minutes', account, key, 'requests',
         '', 'VALID', 1 + q
       FROM generate_series(0, 95) AS q, unnest($2::text[], $3::text[]) AS k(key, account)`,
      [day, keys.map(({ id }) => id), keys.map(({ account }) => account)],
    );
  }
  await sql.query("VACUUM ANALYZE usage_quarter, usage_account");
}

async function latency(count: number, ask: () => Promise<unknown>): Promise<Latency> {
  const tookMs: number[] = [];
  for (let i = 0; i < count; i++) {
    const beganMs = performance.now();
    await ask();
    tookMs.push(performance.now() - beganMs);
  }
  tookMs.sort((a, b) => a - b);
  const at = (share: number) => tookMs[Math.min(count - 1, Math.floor(count * share))]!;
  return { p50: at(0.5), p99: at(0.99) };
}
