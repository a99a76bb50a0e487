import type { EntityManager } from "typeorm";
import type { NodeMoney } from "../domain/lease.ts";
import type { BucketDraw, HeldLease } from "../domain/lease-spend.ts";

/** What is lent of wallets. Wallets are locked in the order of their ids, after every other bucket. */

/** The leases, with their wallets locked. */
export async function lockWalletLeases(
  manager: EntityManager,
  leaseIds: readonly string[],
): Promise<HeldLease[]> {
  await manager.query(
    `SELECT FROM wallet WHERE id IN (SELECT wallet_id FROM wallet_lease WHERE id = ANY($1))
     ORDER BY id FOR UPDATE`,
    [leaseIds],
  );
  const rows = await manager.query<
    { id: string; wallet_id: string; units: string; spent: string; closed: boolean }[]
  >(
    `SELECT id, wallet_id, units, spent, closed FROM wallet_lease WHERE id = ANY($1) ORDER BY id FOR UPDATE`,
    [leaseIds],
  );
  return rows.map((row) => ({
    id: row.id,
    bucketId: row.wallet_id,
    limitId: row.wallet_id,
    units: Number(row.units),
    spent: Number(row.spent),
    closed: row.closed,
    forfeited: false,
  }));
}

/** What leases are now, and what of their wallets is lent less. */
export async function writeWalletLeases(
  manager: EntityManager,
  leases: readonly HeldLease[],
  draws: ReadonlyMap<string, BucketDraw>,
): Promise<void> {
  await manager.query(
    `UPDATE wallet_lease SET spent = s.spent, closed = s.closed
     FROM unnest($1::text[], $2::bigint[], $3::boolean[]) AS s(id, spent, closed) WHERE wallet_lease.id = s.id`,
    [leases.map(({ id }) => id), leases.map(({ spent }) => spent), leases.map(({ closed }) => closed)],
  );
  await manager.query(
    `UPDATE wallet SET leased = wallet.leased + d.leased
     FROM unnest($1::text[], $2::bigint[]) AS d(id, leased) WHERE wallet.id = d.id`,
    [[...draws.keys()], [...draws.values()].map(({ leased }) => leased)],
  );
}

export async function openWalletLeases(manager: EntityManager, holder: string): Promise<string[]> {
  const rows = await manager.query<{ id: string }[]>(
    "SELECT id FROM wallet_lease WHERE holder = $1 AND NOT closed",
    [holder],
  );
  return rows.map(({ id }) => id);
}

/**
 * SQL: whom the accounts among the nodes `nodes` draw on, as JSON by account: `{parent, wallets: [{id, currency}]}`.
 * Only of those that have wallets or draw on their parent's.
 */
export function moneyOf(nodes: string): string {
  return `(SELECT json_object_agg(coalesce(w.account_id, s.account_id), json_build_object(
      'parent', coalesce(s.uses_parent_balance, false), 'wallets', coalesce(w.wallets, '[]'::json)))
    FROM (SELECT account_id, json_agg(json_build_object('id', id, 'currency', currency) ORDER BY id) AS wallets
          FROM wallet WHERE account_id = ANY(${nodes}) GROUP BY account_id) AS w
    FULL JOIN (SELECT account_id, uses_parent_balance FROM account_balance_source
               WHERE account_id = ANY(${nodes}) AND uses_parent_balance) AS s ON s.account_id = w.account_id)`;
}

export type MoneyRow = Readonly<
  Record<string, { parent: boolean; wallets: { id: string; currency: string }[] }>
>;

export function moneyByNode(row: MoneyRow | null): ReadonlyMap<string, NodeMoney> {
  const entries = Object.entries(row ?? {});
  return new Map(entries.map(([id, { parent, wallets }]) => [id, { usesParentBalance: parent, wallets }]));
}
