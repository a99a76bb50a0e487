import type { ChangeLog } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import type { Actor } from "../domain/limit-store.ts";
import { available, type Micros } from "../domain/money.ts";
import type { WalletName } from "../domain/movement.ts";
import type { Balance } from "../domain/read-balances.ts";
import { type CreditTermsStore, uncovered } from "../domain/set-credit.ts";
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
    coveredBy?: string,
  ): Promise<{ balance: Balance; freshness: string }> {
    const { value: balance, freshness } = await this.#log.commit(async (tx) => {
      // Two that raise limits below one organization count each other's.
      if (coveredBy !== undefined) await tx.gate({ changed: [`credit below ${coveredBy}`] });
      const [now] = await tx.manager.query<[{ now_ms: string }]>(`SELECT ${nowMsExpression} AS now_ms`);
      const [walletId] = await openWallets(tx, [name], Number(now.now_ms) + this.#offsetMs());
      await tx.manager.query("SELECT FROM wallet WHERE id = $1 FOR UPDATE", [walletId]);
      const before = await readBalance(tx.manager, name);
      if (before.creditLimit === creditLimit) return before;
      if (coveredBy !== undefined && creditLimit > before.creditLimit) {
        const others = await creditBelow(tx.manager, coveredBy, name);
        if (others.given + owed(before, creditLimit) > others.own) throw uncovered();
      }
      await tx.manager.query("UPDATE wallet SET credit_limit = $2 WHERE id = $1", [walletId, creditLimit]);
      const after = { ...before, creditLimit };
      const event = {
        actor,
        action: "gatehouse.credits.set-credit-limit" as const,
        targetId: name.accountId,
        concerns: name.accountId,
      };
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

/** What an organization may owe, and what all accounts below it but this one may, or do. */
async function creditBelow(
  manager: EntityManager,
  organizationId: string,
  { accountId, currency }: WalletName,
): Promise<{ own: bigint; given: bigint }> {
  const [row] = await manager.query<[{ own: string; given: string }]>(
    `SELECT coalesce(sum(w.credit_limit) FILTER (WHERE a.id = $1), 0) AS own,
       coalesce(sum(greatest(w.credit_limit, w.leased - w.balance)) FILTER (WHERE a.id NOT IN ($1, $2)), 0) AS given
     FROM account a JOIN wallet w ON w.account_id = a.id AND w.currency = $3 WHERE a.path @> ARRAY[$1]`,
    [organizationId, accountId, currency],
  );
  return { own: BigInt(row.own), given: BigInt(row.given) };
}

/** The limit; or what is owed, where that is more since the limit was lowered: or one credit would be given over and over. */
function owed({ balance, leased }: Balance, creditLimit: Micros): bigint {
  const debt = BigInt(leased) - BigInt(balance);
  return debt > BigInt(creditLimit) ? debt : BigInt(creditLimit);
}
