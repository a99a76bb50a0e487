import type { Tx } from "@gatehouse/changefeed";

/** What a wallet comes to have. */
export interface RaisedWallet {
  readonly id: string;
  readonly balance: number;
}

/**
 * Tells followers of the accounts whose wallets were as good as empty: replicas of authz remember that one refused, and
 * forget it at that. Others are not told, or a busy wallet would be asked for anew with every transfer. Of wallets that the
 * transaction has locked and not changed yet.
 */
export async function tellRefilled(tx: Tx, wallets: readonly RaisedWallet[]): Promise<void> {
  if (wallets.length === 0) return;
  const rows = await tx.manager.query<{ account_id: string }[]>(
    `SELECT DISTINCT w.account_id FROM wallet w JOIN unnest($1::text[], $2::bigint[]) AS r(id, balance) USING (id)
     WHERE (w.balance::numeric + w.credit_limit - w.leased) * ${AS_GOOD_AS_EMPTY} < r.balance - w.balance`,
    [wallets.map(({ id }) => id), wallets.map(({ balance }) => balance)],
  );
  for (const { account_id } of rows) tx.changed("wallets", account_id);
}

/** There was less than a hundredth of what comes. */
const AS_GOOD_AS_EMPTY = 100;
