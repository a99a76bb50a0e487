/**
 * SQL: the balance that its latest entry left a wallet, of those entries `t` for which a condition holds; NULL where there
 * is none. Each side of the ledger has an index of its own.
 */
export function latestBalance(walletId: string, condition = "true"): string {
  const side = (
    name: "from" | "to",
  ) => `(SELECT t.at, t.seq, t.${name}_balance AS balance FROM ledger_transfer t
    WHERE t.${name}_wallet = ${walletId} AND t.${name}_balance IS NOT NULL AND ${condition}
    ORDER BY t.at DESC, t.seq DESC LIMIT 1)`;
  return `(SELECT e.balance FROM (${side("from")} UNION ALL ${side("to")}) AS e ORDER BY e.at DESC, e.seq DESC LIMIT 1)`;
}
