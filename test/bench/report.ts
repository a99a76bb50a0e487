/**
 * ReportUsage: events a second with exact deduplication, into a day that has millions of events already, beside the same
 * rows written by hand. In turns, on the same tables.
 */
import { hash, randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { LimitService, UsageService, Window } from "@gatehouse/proto/metering";
import { grpcClient } from "@gatehouse/service";
import type pg from "pg";
import { median } from "./rounds.ts";
import { heading, table } from "./table.ts";
import { COST_HEAD, costCells, costOf, medianCost, type UsageCost } from "./usage-costs.ts";
import { makeUsageWorld, type UsageWorld } from "./usage-world.ts";
import { sizesOf, writeUsage } from "./usage-writes.ts";
import { timely } from "./warm-keys.ts";

const EVENTS = 1000;
const CALLERS = 8;
const SECONDS = 5;
const ROUNDS = 5;
const ACCOUNTS = 50;
const KEYS = 1000;

export interface ReportReport {
  readonly bench: "report";
  readonly settings: Record<string, string | number>;
  /** Rows when it was over. */
  readonly sizes: Readonly<Record<string, number>>;
  readonly reported: UsageCost;
  readonly repeated: UsageCost;
  readonly byHand: UsageCost;
  /** Of events a second. */
  readonly ratio: number;
  readonly ratios: readonly number[];
}

export async function benchReport(events: number): Promise<ReportReport> {
  const world = await makeUsageWorld(ACCOUNTS, KEYS);
  try {
    const sql = await world.connect();
    await limit(world);
    await sql.query(
      `INSERT INTO reported_event SELECT current_date, 'before', gen_random_uuid()::text, decode(md5(n::text), 'hex')
       FROM generate_series(1, $1) AS n`,
      [events],
    );
    await sql.query("VACUUM ANALYZE reported_event");
    const report = reporter(world);
    const byHand = await writer(world);
    const load = {
      ...{ metering: world.deployment.meteringProcess, sql },
      ...{ callers: CALLERS, seconds: SECONDS, rows: EVENTS },
    };
    await costOf(load, report.fresh);
    const rounds: { reported: UsageCost; repeated: UsageCost; byHand: UsageCost }[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      rounds.push({
        reported: await costOf(load, report.fresh),
        repeated: await costOf(load, report.again),
        byHand: await costOf(load, byHand),
      });
    }
    report.close();
    const ratios = rounds.map((round) => round.reported.perSecond / round.byHand.perSecond);
    return {
      bench: "report",
      settings: {
        ...{ node: process.version, events: EVENTS, callers: CALLERS, keys: KEYS, accounts: ACCOUNTS },
        ...{ seconds: SECONDS, rounds: ROUNDS, fsync: "on" },
      },
      sizes: await sizesOf(sql, ["reported_event", "usage_minute", "usage_quarter", "usage_account"]),
      reported: medianCost(rounds.map((round) => round.reported)),
      repeated: medianCost(rounds.map((round) => round.repeated)),
      byHand: medianCost(rounds.map((round) => round.byHand)),
      ratio: median(ratios),
      ratios,
    };
  } finally {
    await world.stop();
  }
}

export function reportTable({ settings, sizes, ratio, ratios, ...by }: ReportReport): string {
  return [
    heading("Reports of usage", settings),
    table(
      ["events", ...COST_HEAD],
      [
        ["reported", ...costCells(by.reported)],
        ["reported again", ...costCells(by.repeated)],
        ["the same rows by hand", ...costCells(by.byHand)],
      ],
    ),
    `ratio ${ratio.toFixed(2)} (median of ${ratios.map((each) => each.toFixed(2)).join(" ")})`,
    `rows in the end: ${Object.entries(sizes)
      .map(([name, rows]) => `${name} ${rows}`)
      .join(", ")}`,
  ].join("\n");
}

/** A quota of the organization and of each account: what reports draw on. */
async function limit({ deployment, organization, accounts }: UsageWorld): Promise<void> {
  const headers = { "x-api-key": deployment.rootKey };
  const limits = grpcClient(LimitService, deployment.metering, { headers });
  const quota = { case: "quota" as const, value: { units: 1_000_000_000n, window: Window.MONTH } };
  for (const value of [organization, ...accounts]) {
    await limits.setLimit({ node: { case: "account", value }, allowance: quota }, timely);
  }
  limits.close();
}

function someEvents({ keys }: UsageWorld) {
  const nowMs = Date.now();
  return Array.from({ length: EVENTS }, () => {
    const { id, account } = keys[Math.floor(Math.random() * keys.length)]!;
    // Of the last two minutes, as backends report.
    return { id: randomUUID(), key: id, account, atMs: nowMs - Math.floor(Math.random() * 120_000) };
  });
}

function reporter(world: UsageWorld) {
  const { rootKey, metering } = world.deployment;
  const client = grpcClient(UsageService, metering, { headers: { "x-api-key": rootKey } });
  const send = async (events: ReturnType<typeof someEvents>, again: boolean) => {
    const answer = await client.reportUsage(
      {
        source: "bench",
        events: events.map(({ id, key, atMs }) => ({
          id,
          node: { case: "key" as const, value: key },
          meter: "requests",
          units: 1n,
          time: timestampFromMs(atMs),
        })),
      },
      timely,
    );
    if (answer[again ? "duplicates" : "booked"] !== EVENTS) throw new Error("not every event was taken");
  };
  const sent: ReturnType<typeof someEvents>[] = [];
  return {
    async fresh() {
      const events = someEvents(world);
      await send(events, false);
      // Some of what was sent, to be sent again.
      if (sent.length < 50) sent.push(events);
    },
    again: () => send(sent[Math.floor(Math.random() * sent.length)]!, true),
    close: () => client.close(),
  };
}

async function writer(world: UsageWorld) {
  const clients = await Promise.all(Array.from({ length: CALLERS }, () => world.connect()));
  return async (caller: number) => {
    const events = someEvents(world);
    const rows = events.map(({ key, account, atMs }) => {
      const minute = Math.floor(atMs / 60_000);
      return { minute, accountId: account, keyId: key, meter: "requests", units: 1 };
    });
    await writeUsage(clients[caller]!, rows, () => note(clients[caller]!, world, events));
  };
}

async function note(
  client: pg.Client,
  { organization }: UsageWorld,
  events: ReturnType<typeof someEvents>,
): Promise<void> {
  await client.query(
    `INSERT INTO reported_event (day, source, id, content)
     SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::bytea[]) ON CONFLICT DO NOTHING`,
    [
      events.map(({ atMs }) => new Date(atMs).toISOString().slice(0, 10)),
      events.map(() => "by-hand"),
      events.map(({ id }) => id),
      events.map(({ id }) => hash("sha256", id, "buffer").subarray(0, 16)),
    ],
  );
  const nodes = [organization, ...new Set(events.map(({ account }) => account))];
  await client.query(
    `UPDATE quota_bucket b SET spent = spent + 1 FROM (
       SELECT b.id FROM node_limit l JOIN quota_bucket b ON b.limit_id = l.id WHERE l.node_id = ANY($1)
       ORDER BY b.id FOR UPDATE OF b) AS locked
     WHERE b.id = locked.id`,
    [nodes],
  );
}
