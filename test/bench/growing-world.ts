/**
 * One organization of ever more keys in metering's database, each with a quota of its own and a day of usage. Rows are put
 * in by hand, as copies of what the API made: a million keys through it would take hours.
 */
import { KeyService, MeterService } from "@gatehouse/proto/identity";
import { CreditService, LeaseService, LimitService, Window } from "@gatehouse/proto/metering";
import { grpcClient } from "@gatehouse/service";
import type pg from "pg";
import { serviceSecret } from "./deployment.ts";
import { makeUsageWorld, type UsageWorld } from "./usage-world.ts";
import { timely } from "./warm-keys.ts";

/** As many whatever the number of keys, so that what is asked of the organization has answers of one length. */
const ACCOUNTS = 20;
const MICROS = 1_000_000n;
const QUOTA = 1_000_000_000_000n;
const currency = "USD";
/** What is counted beside requests. */
export const METERS = ["context", "generated", "bytes", "images"];
/** Of the day of usage, long enough ago for no book of the last days to be looked at meanwhile. */
const DAYS_AGO = 8;

export interface GrowingKey {
  readonly id: string;
  readonly account: string;
  readonly limitId: string;
}

interface Template {
  readonly key: string;
  /** Of the organization and of each account, by account. */
  readonly limits: ReadonlyMap<string, string>;
}

export class GrowingWorld {
  readonly world: UsageWorld;
  /** Begins the day of usage that every key has. */
  readonly dayMs = (Math.floor(Date.now() / 86_400_000) - DAYS_AGO) * 86_400_000;
  /** The provider's account. */
  readonly root: string;
  /** Of the organization and of each account, by account. */
  readonly limits: ReadonlyMap<string, string>;
  readonly #sql: pg.Client;
  /** The key that is copied. */
  readonly #template: string;
  /** How many there are, numbered from 1. */
  keys = 0;

  static async make(): Promise<GrowingWorld> {
    const world = await makeUsageWorld(ACCOUNTS, 0);
    try {
      const sql = await world.connect();
      const { rows } = await sql.query<{ id: string }>("SELECT id FROM account WHERE parent_id IS NULL");
      const root = rows[0]!.id;
      return new GrowingWorld(world, sql, root, await makeTemplate(world, root));
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  private constructor(world: UsageWorld, sql: pg.Client, root: string, { key, limits }: Template) {
    this.world = world;
    this.root = root;
    this.limits = limits;
    this.#sql = sql;
    this.#template = key;
  }

  key(n: number): GrowingKey {
    const account = this.world.accounts[n % ACCOUNTS]!;
    return { id: `key_${digits(n)}`, account, limitId: `lim_${digits(n)}` };
  }

  /**
   * Every key gets its quota and two quarters of usage, the first of them by minute, too; the even ones have drawn on their
   * quotas in this window before.
   */
  async growTo(keys: number): Promise<void> {
    const sql = this.#sql;
    const numbers = `(SELECT n, ${id("key")} AS key, ${id("lim")} AS lim, ($1::text[])[1 + n % ${ACCOUNTS}] AS account
      FROM generate_series(${this.keys + 1}, ${keys}) AS n) AS r`;
    const run = (text: string) => sql.query(text, [this.world.accounts]);
    await run(`
      INSERT INTO key (id, account_id, hashes, node)
      SELECT r.key, account, ARRAY[md5(r.key)], t.node || jsonb_build_object('id', r.key, 'accountId', account,
        'name', 'key ' || n, 'secretHashes', jsonb_build_array(md5(r.key)))
      FROM ${numbers}, key t WHERE t.id = '${this.#template}'`);
    await run(`
      INSERT INTO node_limit
      SELECT l.* FROM ${numbers}, node_limit t, jsonb_populate_record(t, jsonb_build_object('id', lim, 'node_id', r.key)) AS l
      WHERE t.node_id = '${this.#template}'`);
    await run(`
      INSERT INTO quota_bucket (limit_id, window_start, window_end, spent)
      SELECT lim, b.window_start, b.window_end, n
      FROM ${numbers}, quota_bucket b JOIN node_limit t ON t.id = b.limit_id
      WHERE t.node_id = '${this.#template}' AND n % 2 = 0`);
    for (const [table, quarters] of [
      ["usage_quarter", 2],
      ["usage_minute", 1],
    ] as const) {
      await run(`
        INSERT INTO ${table} (start, account_id, key_id, meter, resource, outcome, units)
        SELECT to_timestamp(${this.dayMs / 1000} + 900 * ((7 * n + 48 * q) % 96)), account, r.key, 'requests', '', 'VALID', n
        FROM ${numbers}, generate_series(0, ${quarters - 1}) AS q`);
    }
    await sql.query(
      "VACUUM ANALYZE account, key, node_limit, quota_bucket, usage_minute, usage_quarter, usage_account",
    );
    await sql.query("CHECKPOINT");
    this.keys = keys;
  }

  stop(): Promise<void> {
    return this.world.stop();
  }
}

function id(prefix: string): string {
  return `'${prefix}_' || lpad(n::text, 20, '0')`;
}

function digits(n: number): string {
  return String(n).padStart(20, "0");
}

/** A key that has drawn on its quota, and quotas and wallets above it. */
async function makeTemplate(
  { deployment, organization, accounts }: UsageWorld,
  root: string,
): Promise<Template> {
  const { rootKey, identity, metering } = deployment;
  const headers = { "x-api-key": rootKey };
  const keys = grpcClient(KeyService, identity, { headers });
  const meters = grpcClient(MeterService, identity, { headers });
  const limits = grpcClient(LimitService, metering, { headers });
  const credits = grpcClient(CreditService, metering, { headers });
  const leases = grpcClient(LeaseService, metering, {
    headers: { authorization: `Bearer ${serviceSecret}` },
  });
  for (const name of METERS) await meters.createMeter({ name }, timely);
  const account = accounts[0]!;
  const { key } = await keys.createKey({ account, name: "template", scopes: ["weather.**"] }, timely);
  const quota = { case: "quota" as const, value: { units: QUOTA, window: Window.MONTH } };
  const bounded = new Map<string, string>();
  for (const value of [organization, ...accounts]) {
    const { limit } = await limits.setLimit({ node: { case: "account", value }, allowance: quota }, timely);
    bounded.set(value, limit!.id);
  }
  await limits.setLimit({ node: { case: "key", value: key!.id }, allowance: quota }, timely);
  const total = MICROS * BigInt(ACCOUNTS + 1);
  const payment = { currency, reference: "bench", idempotencyKey: "bench" };
  await credits.topUp({ account: organization, amount: total, ...payment }, timely);
  for (const to of accounts) {
    await credits.transfer({ from: organization, to, amount: MICROS, currency }, timely);
  }
  const nodeIds = [key!.id, account, organization, root];
  const ask = { nodeIds, needs: [{ meter: "requests", units: 1n }] };
  await leases.acquire({ holder: "template/1", number: 1n, asks: [ask] }, timely);
  for (const client of [keys, meters, limits, credits, leases]) client.close();
  return { key: key!.id, limits: bounded };
}
