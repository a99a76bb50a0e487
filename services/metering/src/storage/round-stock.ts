import type { EntityManager } from "typeorm";
import type {
  HeldOfQuota,
  HeldUnits,
  LeaseTx,
  Locks,
  QuotaBucketRow,
  RateLeaseRow,
  Stock,
  WalletRow,
} from "../domain/lease.ts";
import { micros } from "../domain/money.ts";
import { nowMsExpression } from "./clock.ts";
import { type Prepared, runPrepared } from "./prepared.ts";
import { type RateRow, rateColumns, rateStateOf } from "./rate-row.ts";
import { endedAmong, limitsOf, rowsOf, type TermsRow, termsOf } from "./round-rows.ts";
import { moneyOf } from "./wallet-leases.ts";

/**
 * In this order, as everybody locks them: the parts of a union run one after another. Nothing is read here, for the
 * snapshot of a statement that waited is of before.
 */
const lockRows: Prepared = {
  name: "lock a round",
  text: `
  SELECT count(*) FROM (
    SELECT 1 FROM (SELECT FROM quota_bucket WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE) AS q UNION ALL
    SELECT 1 FROM (SELECT FROM rate_bucket WHERE limit_id = ANY($2::text[]) ORDER BY limit_id FOR UPDATE) AS r UNION ALL
    SELECT 1 FROM (SELECT FROM wallet WHERE id = ANY($3::text[]) ORDER BY id FOR UPDATE) AS w) AS locked`,
};

const hasMoved = "(incarnation, revision) IS DISTINCT FROM ($4::uuid, $5::bigint)";
const hasVanished = "deadline <= vanished_by";
const msOf = (time: string) => `floor(extract(epoch FROM ${time}) * 1000)::bigint`;
const unspent = "sum(greatest(units - spent, 0)) AS units";

const readRows: Prepared = {
  name: "read a round",
  text: `
  WITH clock AS MATERIALIZED (
    SELECT now_ms, to_timestamp((now_ms - $7::bigint) / 1000.0) AS vanished_by
    FROM (SELECT ${nowMsExpression} + $6::bigint AS now_ms) AS c)
  SELECT now_ms, incarnation, revision, ${endedAmong("$8")} AS ended_holders,
    CASE WHEN ${hasMoved} THEN ${limitsOf("$9", "$10")} END AS limits,
    CASE WHEN ${hasMoved} THEN ${moneyOf("$9")} END AS money,
    ${rowsOf(`
      SELECT id::text, limit_id AS "limitId", share_node AS "shareNode", ${msOf("window_end")} AS "endMs", spent, leased
      FROM quota_bucket WHERE id = ANY($1::bigint[]) ORDER BY quota_bucket.id`)} AS quotas,
    ${rowsOf(`
      SELECT bucket_id::text AS "bucketId", limit_id AS "limitId", holder, ${hasVanished} AS "isForfeited", ${unspent}
      FROM quota_lease WHERE bucket_id = ANY($1::bigint[]) AND NOT closed AND NOT forfeited
      GROUP BY bucket_id, limit_id, holder, ${hasVanished}`)} AS quota_leases,
    ${rowsOf(`SELECT ${rateColumns} FROM rate_bucket WHERE limit_id = ANY($2) ORDER BY limit_id`)} AS rates,
    ${rowsOf(`
      SELECT id, limit_id AS "limitId", holder, units, spent, ${msOf("deadline")} AS "deadlineMs"
      FROM rate_lease WHERE limit_id = ANY($2) ORDER BY id`)} AS rate_leases,
    ${rowsOf(`
      SELECT id, balance, credit_limit AS "creditLimit", leased FROM wallet WHERE id = ANY($3) ORDER BY id`)} AS wallets,
    ${rowsOf(`
      SELECT wallet_id AS "limitId", holder, ${unspent} FROM wallet_lease
      WHERE wallet_id = ANY($3) AND NOT closed AND NOT ${hasVanished} GROUP BY wallet_id, holder`)} AS wallet_leases
  FROM feed_head CROSS JOIN clock`,
};

/** Columns that JSON carries as the domain has them, but for what is null. */
interface StockRow extends Omit<TermsRow, "limits"> {
  readonly now_ms: string;
  readonly ended_holders: readonly string[];
  readonly limits: TermsRow["limits"] | null;
  readonly quotas: readonly (Omit<QuotaBucketRow, "endMs"> & { readonly endMs: number | null })[];
  readonly quota_leases: readonly HeldOfQuota[];
  readonly rates: readonly RateRow[];
  readonly rate_leases: readonly RateLeaseRow[];
  readonly wallets: readonly WalletRow[];
  readonly wallet_leases: readonly HeldUnits[];
}

export async function lockRound(manager: EntityManager, { quotas, rates, wallets }: Locks): Promise<void> {
  await runPrepared(manager, lockRows, [quotas, rates, wallets]);
}

/** What is locked. */
export async function readRound(
  manager: EntityManager,
  { holders, quotas, rates, wallets }: Locks,
  { survey, nodeIds, graceMs }: Parameters<LeaseTx["lock"]>[1],
  offsetMs: number,
): Promise<Stock> {
  const { position, limits } = survey.terms;
  const rows = await runPrepared<StockRow>(manager, readRows, [
    ...[quotas, rates, wallets, position.incarnation, position.revision, offsetMs, graceMs, holders],
    ...[nodeIds, limits.map(({ id }) => id)],
  ]);
  const row = rows[0]!;
  return {
    nowMs: Number(row.now_ms),
    terms: row.limits === null ? survey.terms : termsOf({ ...row, limits: row.limits }),
    endedHolders: new Set(row.ended_holders),
    quotas: row.quotas.map(({ endMs, ...bucket }) => ({ ...bucket, endMs: endMs ?? undefined })),
    quotaLeases: row.quota_leases,
    rates: row.rates.map((rate) => ({ limitId: rate.limit_id, state: rateStateOf(rate) })),
    rateLeases: row.rate_leases,
    wallets: row.wallets.map(({ id, balance, creditLimit, leased }) => ({
      id,
      balance: micros(balance),
      creditLimit: micros(creditLimit),
      leased: micros(leased),
    })),
    walletLeases: row.wallet_leases,
  };
}
