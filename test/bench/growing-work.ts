/** What metering is asked to do while it has ever more keys; and the same writes by hand. */
import { hash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AskResult_Outcome,
  CreditService,
  Granularity,
  GroupBy,
  IngestService,
  LeaseService,
  LimitService,
  UsageBatchSchema,
  UsageService,
} from "@gatehouse/proto/metering";
import { grpcClient } from "@gatehouse/service";
import type pg from "pg";
import { serviceSecret } from "./deployment.ts";
import { type GrowingKey, type GrowingWorld, METERS } from "./growing-world.ts";
import { type Row, writeUsage } from "./usage-writes.ts";
import { timely } from "./warm-keys.ts";

/** Of a batch, each with a row for each of five meters. */
const BATCH_KEYS = 1000;
export const BATCH_ROWS = BATCH_KEYS * (1 + METERS.length);
/** In a round: a batch is as much work as many of the others. */
const CALLS = 30;
const BATCHES = 6;
const DAY_MS = 86_400_000;
const QUARTERS_A_DAY = 96;
const [PRODUCER, EPOCH] = ["growth", 1n];

/** What is measured. */
export interface Operation {
  readonly name: string;
  /** In a round. */
  readonly calls: number;
  /** Makes ready what is no part of it, and answers what is. */
  readonly prepare: () => () => Promise<unknown>;
}

export class GrowingWork {
  readonly #growing: GrowingWorld;
  /** Of what is done by hand. */
  readonly #sql: pg.Client;
  readonly #clients: ReturnType<typeof clientsOf>;
  /** Numbers of keys that drew on nothing yet. */
  #cold: number[] = [];
  #lent: string[] = [];
  #rows: readonly Row[] = [];
  /** Quarters of an hour that rows were written for. */
  #quarters = 0;
  #batches = 0n;

  constructor(growing: GrowingWorld, sql: pg.Client) {
    this.#growing = growing;
    this.#sql = sql;
    this.#clients = clientsOf(growing);
  }

  /** Over the keys that there are now, of which those after `before` are new: so many rounds. */
  overKeysAfter(before: number, rounds: number): readonly Operation[] {
    const added = this.#growing.keys - before;
    // The odd ones drew on nothing.
    this.#cold = distinct(2 * CALLS * rounds, () => before + 1 + 2 * Math.floor((Math.random() * added) / 2));
    const calls = CALLS;
    return [
      { name: "acquire of a cold key", calls, prepare: () => this.#acquire(this.#coldKey()) },
      { name: "the same writes by hand", calls, prepare: () => this.#lendByHand(this.#coldKey()) },
      { name: "batch of new rows", calls: BATCHES, prepare: () => this.#ingest(this.#newRows()) },
      { name: "batch of rows that are there", calls: BATCHES, prepare: () => this.#ingest(this.#rows) },
      { name: "new rows by hand", calls: BATCHES, prepare: () => this.#writeByHand(this.#newRows()) },
      { name: "usage of a day by account and hour", calls, prepare: () => () => this.#queryUsage() },
      { name: "allowance of a key", calls, prepare: () => this.#getAllowance(this.#anyKey()) },
      { name: "balances of the organization", calls, prepare: () => () => this.#listBalances() },
    ];
  }

  /** Gives back what was lent. */
  async giveBack(): Promise<void> {
    const leases = this.#lent.map((leaseId) => ({ leaseId, spent: 1n, closed: true }));
    this.#lent = [];
    await this.#send(toBinary(UsageBatchSchema, create(UsageBatchSchema, { leases })))();
  }

  close(): void {
    for (const client of Object.values(this.#clients)) client.close();
  }

  #acquire({ id, account }: GrowingKey) {
    const { root, world } = this.#growing;
    const nodeIds = [id, account, world.organization, root];
    const asks = [{ nodeIds, needs: [{ meter: "requests", units: 1n }] }];
    return async () => {
      const { results, leases } = await this.#clients.leases.acquire(
        { holder: `${PRODUCER}/${EPOCH}`, asks },
        timely,
      );
      const { outcome } = results[0]!;
      if (outcome !== AskResult_Outcome.GRANTED) throw new Error(`answered ${AskResult_Outcome[outcome]}`);
      for (const { id } of leases) this.#lent.push(id);
    };
  }

  /** Finds the three limits, opens the key's bucket, and lends of all of them. */
  #lendByHand({ id, account }: GrowingKey) {
    const nodes = [id, account, this.#growing.world.organization];
    const sql = this.#sql;
    return async () => {
      await sql.query("BEGIN");
      const found = await sql.query<{ id: string }>("SELECT id FROM node_limit WHERE node_id = ANY($1)", [
        nodes,
      ]);
      const limits = found.rows.map((row) => row.id);
      await sql.query(
        `INSERT INTO quota_bucket (limit_id, window_start, window_end)
         SELECT l, date_trunc('month', now()), date_trunc('month', now()) + interval '1 month'
         FROM unnest($1::text[]) AS l ON CONFLICT DO NOTHING`,
        [limits],
      );
      await sql.query("SELECT id FROM quota_bucket WHERE limit_id = ANY($1) ORDER BY id FOR UPDATE", [
        limits,
      ]);
      await sql.query("UPDATE quota_bucket SET spent = spent + 1 WHERE limit_id = ANY($1)", [limits]);
      await sql.query(
        `INSERT INTO quota_lease (id, limit_id, holder, units, spent, closed, deadline, bucket_id)
         SELECT gen_random_uuid(), limit_id, 'by-hand/1', 1, 1, true, now() + interval '1 hour', id
         FROM quota_bucket WHERE limit_id = ANY($1)`,
        [limits],
      );
      await sql.query("COMMIT");
    };
  }

  #coldKey(): GrowingKey {
    const n = this.#cold.pop();
    if (n === undefined) throw new Error("every key has drawn on its quota");
    return this.#growing.key(n);
  }

  #anyKey(): GrowingKey {
    return this.#growing.key(this.#anyNumber());
  }

  #anyNumber(): number {
    return 1 + Math.floor(Math.random() * this.#growing.keys);
  }

  /** Of a quarter of an hour of its own, before the day that all keys used something in: there are none of it yet. */
  #newRows(): readonly Row[] {
    const [days, quarter] = [Math.floor(this.#quarters / QUARTERS_A_DAY), this.#quarters % QUARTERS_A_DAY];
    this.#quarters++;
    const minute = (this.#growing.dayMs - DAY_MS * (1 + days)) / 60_000 + 15 * quarter;
    this.#rows = distinct(BATCH_KEYS, () => this.#anyNumber()).flatMap((n) => {
      const { id: keyId, account: accountId } = this.#growing.key(n);
      return ["requests", ...METERS].map((meter) => ({ minute, accountId, keyId, meter, units: 3 }));
    });
    return this.#rows;
  }

  #writeByHand(rows: readonly Row[]) {
    return () => writeUsage(this.#sql, rows);
  }

  #ingest(rows: readonly Row[]) {
    const usage = rows.map(({ keyId, accountId, meter, minute, units }) => ({
      ...{ keyId, accountId, meter, outcome: "VALID", minute: BigInt(minute), units: BigInt(units) },
    }));
    return this.#send(toBinary(UsageBatchSchema, create(UsageBatchSchema, { usage })));
  }

  #send(payload: Uint8Array) {
    const digest = hash("sha256", payload, "buffer");
    const batch = { producer: PRODUCER, epoch: EPOCH, sequence: ++this.#batches, digest, payload };
    return async () => {
      const { quarantined } = await this.#clients.ingest.ingestBatch(batch, timely);
      if (quarantined > 0) throw new Error("rows were put aside");
    };
  }

  async #queryUsage(): Promise<void> {
    const { dayMs, world } = this.#growing;
    const { rows } = await this.#clients.usage.queryUsage(
      {
        node: { case: "account", value: world.organization },
        descendants: true,
        groupBy: [GroupBy.ACCOUNT],
        granularity: Granularity.HOUR,
        start: timestampFromMs(dayMs),
        end: timestampFromMs(dayMs + DAY_MS),
        pageSize: 10_000,
      },
      timely,
    );
    if (rows.length < world.accounts.length) throw new Error("not every account has usage");
  }

  #getAllowance({ id }: GrowingKey) {
    return async () => {
      const node = { case: "key" as const, value: id };
      const { allowances } = await this.#clients.limits.getAllowance({ node }, timely);
      if (allowances.length !== 3) throw new Error(`${allowances.length} limits bind a key`);
    };
  }

  async #listBalances(): Promise<void> {
    const { organization: account, accounts } = this.#growing.world;
    const asked = { account, descendants: true, pageSize: 500 };
    const { balances } = await this.#clients.credits.listBalances(asked, timely);
    if (balances.length !== accounts.length + 1) throw new Error(`${balances.length} balances`);
  }
}

function clientsOf({ world }: GrowingWorld) {
  const { rootKey, metering } = world.deployment;
  const [provider, service] = [{ "x-api-key": rootKey }, { authorization: `Bearer ${serviceSecret}` }];
  return {
    leases: grpcClient(LeaseService, metering, { headers: service }),
    ingest: grpcClient(IngestService, metering, { headers: service }),
    usage: grpcClient(UsageService, metering, { headers: provider }),
    limits: grpcClient(LimitService, metering, { headers: provider }),
    credits: grpcClient(CreditService, metering, { headers: provider }),
  };
}

function distinct(count: number, draw: () => number): number[] {
  const numbers = new Set<number>();
  while (numbers.size < count) numbers.add(draw());
  return [...numbers];
}
