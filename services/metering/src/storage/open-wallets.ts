import type { Tx } from "@gatehouse/changefeed";
import { mintId } from "@gatehouse/keys";
import { nameOfWallet, type WalletName } from "../domain/movement.ts";
import { instant } from "./clock.ts";

/**
 * Opens the wallets that are not there yet, and tells followers of the accounts whose wallets those are. Answers the
 * ids of all, in the order asked for. Locks none of them.
 */
export async function openWallets(tx: Tx, names: readonly WalletName[], atMs: number): Promise<string[]> {
  if (names.length === 0) return [];
  const columns = [names.map(({ accountId }) => accountId), names.map(({ currency }) => currency)];
  const there = await findWallets(tx, columns);
  const missing = [
    ...new Map(names.map((name) => [nameOfWallet(name), name]))
      .entries()
      .filter(([name]) => !there.has(name)),
  ].sort(([a], [b]) => (a < b ? -1 : 1));
  if (missing.length > 0) {
    // In one order, for two transactions that open the same ones wait for each other here.
    const opened = await tx.manager.query<{ account_id: string }[]>(
      `INSERT INTO wallet (id, account_id, currency, moved_at)
       SELECT id, account_id, currency, $4 FROM unnest($1::text[], $2::text[], $3::text[])
         WITH ORDINALITY AS m(id, account_id, currency, n) ORDER BY n
       ON CONFLICT (account_id, currency) DO NOTHING RETURNING account_id`,
      [
        missing.map(() => mintId("wal")),
        missing.map(([, { accountId }]) => accountId),
        missing.map(([, { currency }]) => currency),
        instant(atMs),
      ],
    );
    for (const accountId of new Set(opened.map((row) => row.account_id))) tx.changed("wallets", accountId);
    for (const [name, id] of await findWallets(tx, columns)) there.set(name, id);
  }
  return names.map((name) => there.get(nameOfWallet(name))!);
}

async function findWallets(tx: Tx, columns: readonly (readonly string[])[]): Promise<Map<string, string>> {
  const rows = await tx.manager.query<{ id: string; account_id: string; currency: string }[]>(
    `SELECT w.id, w.account_id, w.currency FROM wallet w
     JOIN unnest($1::text[], $2::text[]) AS n(account_id, currency) USING (account_id, currency)`,
    [...columns],
  );
  return new Map(
    rows.map((row) => [nameOfWallet({ accountId: row.account_id, currency: row.currency }), row.id]),
  );
}
