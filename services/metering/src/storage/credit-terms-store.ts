import type { ChangeLog } from "@gatehouse/changefeed";
import type { Actor } from "../domain/limit-store.ts";
import { available, type Micros } from "../domain/money.ts";
import type { WalletName } from "../domain/movement.ts";
import type { Balance } from "../domain/read-balances.ts";
import type { CreditTermsStore } from "../domain/set-credit.ts";
import { writeAudit } from "./audit.ts";
import { type ClockOffset, nowMsExpression } from "./clock.ts";
import { readBalance } from "./credit-store.ts";
import { recallWallets } from "./money-store.ts";
import { notifyFreed } from "./notice.ts";
import { openWallets } from "./open-wallets.ts";

export class PostgresCreditTermsStore implements CreditTermsStore {
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  setBalanceSource(
    accountId: string,
    usesParentBalance: boolean,
    actor: Actor,
  ): Promise<{ freshness: string }> {
    return this.#log.commit(async (tx) => {
      await tx.gate({ changed: [accountId] });
      const [row] = await tx.manager.query<{ uses_parent_balance: boolean }[]>(
        "SELECT uses_parent_balance FROM account_balance_source WHERE account_id = $1",
        [accountId],
      );
      const before = row?.uses_parent_balance ?? false;
      if (before === usesParentBalance) return;
      tx.changed("balance-source", accountId);
      await tx.manager.query(
        `INSERT INTO account_balance_source (account_id, uses_parent_balance) VALUES ($1, $2)
         ON CONFLICT (account_id) DO UPDATE SET uses_parent_balance = excluded.uses_parent_balance`,
        [accountId, usesParentBalance],
      );
      const event = { actor, action: "credits.set-balance-source", targetId: accountId };
      const [was, is] = [{ usesParentBalance: before }, { usesParentBalance }];
      await writeAudit(tx.manager, [{ ...event, before: was, after: is }]);
    });
  }

  async setCreditLimit(
    name: WalletName,
    creditLimit: Micros,
    actor: Actor,
  ): Promise<{ balance: Balance; freshness: string }> {
    const { value: balance, freshness } = await this.#log.commit(async (tx) => {
      const [now] = await tx.manager.query<[{ now_ms: string }]>(`SELECT ${nowMsExpression} AS now_ms`);
      const [walletId] = await openWallets(tx, [name], Number(now.now_ms) + this.#offsetMs());
      await tx.manager.query("SELECT FROM wallet WHERE id = $1 FOR UPDATE", [walletId]);
      const before = await readBalance(tx.manager, name);
      if (before.creditLimit === creditLimit) return before;
      await tx.manager.query("UPDATE wallet SET credit_limit = $2 WHERE id = $1", [walletId, creditLimit]);
      const after = { ...before, creditLimit };
      const event = { actor, action: "credits.set-credit-limit", targetId: name.accountId };
      const { currency } = name;
      const was = { currency, creditLimit: before.creditLimit };
      await writeAudit(tx.manager, [{ ...event, before: was, after: { currency, creditLimit } }]);
      if (available(after) < 0) await recallWallets(tx.manager, [walletId!]);
      if (creditLimit > before.creditLimit) {
        await notifyFreed(tx.manager, [walletId!]);
        // Who remembers that the wallet refused is to ask again.
        tx.changed("wallets", name.accountId);
      }
      return after;
    });
    return { balance, freshness };
  }
}
