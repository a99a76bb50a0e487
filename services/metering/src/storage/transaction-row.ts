import { micros, type SystemWallet, type TransferKind } from "../domain/money.ts";
import type { Party, Transaction } from "../domain/movement.ts";

/** A row of `ledger_transfer` with the accounts of its wallets. */
export interface TransactionRow {
  readonly id: string;
  readonly at: Date;
  readonly kind: TransferKind;
  readonly organization_id: string;
  readonly currency: string;
  readonly from_wallet: string;
  readonly to_wallet: string;
  readonly amount: string;
  readonly from_balance: string | null;
  readonly to_balance: string | null;
  readonly reference: string;
  readonly reason: string;
  readonly refunds: string | null;
  readonly actor_key_id: string;
  readonly from_account: string | null;
  readonly to_account: string | null;
}

/** SQL: what `transactionOf` reads, of `ledger_transfer t`. */
export const transactionColumns = `t.id, t.at, t.kind, t.organization_id, t.currency, t.from_wallet, t.to_wallet,
  t.amount, t.from_balance, t.to_balance, t.reference, t.reason, t.refunds, t.actor_key_id,
  (SELECT w.account_id FROM wallet w WHERE w.id = t.from_wallet) AS from_account,
  (SELECT w.account_id FROM wallet w WHERE w.id = t.to_wallet) AS to_account`;

export function transactionOf(row: TransactionRow): Transaction {
  return {
    id: row.id,
    atMs: row.at.getTime(),
    kind: row.kind,
    organizationId: row.organization_id,
    currency: row.currency,
    from: partyOf(row.from_wallet, row.from_account, row.from_balance),
    to: partyOf(row.to_wallet, row.to_account, row.to_balance),
    amount: micros(BigInt(row.amount)),
    reference: row.reference,
    reason: row.reason,
    refunds: row.refunds ?? undefined,
    actorKeyId: row.actor_key_id,
  };
}

function partyOf(walletId: string, accountId: string | null, balance: string | null): Party {
  if (accountId === null) return { system: walletId as SystemWallet };
  return { walletId, accountId, balance: micros(BigInt(balance ?? 0)) };
}
