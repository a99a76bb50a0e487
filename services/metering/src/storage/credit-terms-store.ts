import type { ChangeLog } from "@gatehouse/changefeed";
import { unavailable } from "@gatehouse/service/failure";
import type { Actor } from "../domain/actor.ts";
import type { Micros } from "../domain/money.ts";
import type { WalletName } from "../domain/movement.ts";
import type { Balance } from "../domain/read-balances.ts";
import type { CreditTermsStore } from "../domain/set-credit.ts";
import { writeAudit } from "./audit.ts";
import { type ClockOffset, readNowMs } from "./clock.ts";
import { CreditLent, putCreditLimit } from "./credit-limits.ts";
import { readBalance } from "./credit-store.ts";
import { recallLeases } from "./recall.ts";

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
      const event = {
        actor,
        action: "gatehouse.credits.set-balance-source" as const,
        targetId: accountId,
        concerns: accountId,
      };
      const [was, is] = [{ usesParentBalance: before }, { usesParentBalance }];
      await writeAudit(tx.manager, [{ ...event, before: was, after: is }]);
    });
  }

  async setCreditLimit(
    name: WalletName,
    creditLimit: Micros,
    actor: Actor,
    mustBeCovered = false,
  ): Promise<{ balance: Balance; freshness: string }> {
    try {
      const { value: balance, freshness } = await this.#log.commit(async (tx) => {
        const nowMs = await readNowMs(tx.manager, this.#offsetMs);
        const changed = await putCreditLimit(tx, name, creditLimit, { mustBeCovered, nowMs });
        const { currency, accountId } = name;
        if (changed !== undefined) {
          const event = {
            actor,
            action: "gatehouse.credits.set-credit-limit" as const,
            targetId: accountId,
            concerns: accountId,
          };
          const was = { currency, creditLimit: changed.before };
          await writeAudit(tx.manager, [{ ...event, before: was, after: { currency, creditLimit } }]);
        }
        return readBalance(tx.manager, name);
      });
      return { balance, freshness };
    } catch (error) {
      if (!(error instanceof CreditLent)) throw error;
      await this.#log.commit((tx) => recallLeases(tx.manager, [error.walletId]));
      throw unavailable(
        "what is left of the organization's credit is lent to replicas, which were asked to return it; try again",
      );
    }
  }
}
