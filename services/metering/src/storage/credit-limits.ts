import type { Tx } from "@gatehouse/changefeed";
import { failedPrecondition } from "@gatehouse/service/failure";
import type { EntityManager } from "typeorm";
import { available, type Micros, MOST_MICROS, micros } from "../domain/money.ts";
import type { WalletName } from "../domain/movement.ts";
import { requireCover } from "../domain/set-credit.ts";
import { notifyFreed } from "./notice.ts";
import { openWallets } from "./open-wallets.ts";
import { recallLeases } from "./recall.ts";

/**
 * Credit limits, and what of an organization's its accounts have.
 *
 * `wallet.credit_limit` is what calls and transfers may use: of an organization it is less what it has given
 * (`credit_given`). Given is what accounts below it may owe whose limits its keys raised (`credit_covered`): their
 * limits, or what they owe and what is lent of them, where that is more since a limit was lowered: or one credit would
 * be spent, lowered, and given to the next. Of a closed account it is only what it owes and what is lent: it can owe
 * no more. It is added up anew whenever such a limit is set, to what it was too. Meanwhile it is never too little, for
 * an account beyond its limit is admitted nothing.
 */

/** Thrown where an organization has as much left, but lent. Nothing has happened. */
export class CreditLent extends Error {
  readonly walletId: string;

  constructor(walletId: string) {
    super("the organization's credit is lent");
    this.walletId = walletId;
  }
}

/** Answers the limit before; undefined where it is that already. Throws Failure, and CreditLent. */
export async function putCreditLimit(
  tx: Tx,
  name: WalletName,
  creditLimit: Micros,
  { mustBeCovered, nowMs }: { mustBeCovered: boolean; nowMs: number },
): Promise<{ before: Micros } | undefined> {
  const { organizationId, isClosed } = await readAccount(tx.manager, name.accountId);
  // The organization's too: what one call gives, another that waits for it here has not.
  const accountIds = [name.accountId, organizationId];
  let wallets = await lockWallets(tx.manager, accountIds, name.currency);
  // No wallet is opened to say that there is no credit. Opened behind the locks, as by those who move money.
  if (!wallets.has(name.accountId) && creditLimit > 0) {
    await openWallets(tx, [name], nowMs);
    wallets = await lockWallets(tx.manager, accountIds, name.currency);
  }
  const wallet = wallets.get(name.accountId);
  if (wallet === undefined) return undefined;
  const before = limitOf(wallet);
  const isRaised = BigInt(creditLimit) > before;
  if (isRaised && isClosed) {
    throw failedPrecondition("FINAL_STATE", "the account, or one above it, is closed");
  }
  const isCovered = mustBeCovered && (isRaised || wallet.isCovered);
  const isSame = BigInt(creditLimit) === before && isCovered === wallet.isCovered;
  // What is owed of it may have been paid since: that comes back.
  if (isSame && !isCovered) return undefined;
  await change(tx, wallet, micros(BigInt(creditLimit) - BigInt(wallet.given)), wallet.given, isCovered);
  if (isCovered || wallet.isCovered) {
    const own = wallets.get(organizationId);
    const given = await givenBelow(tx.manager, organizationId, name.currency);
    if (mustBeCovered && isRaised) {
      const { balance, leased } = own ?? EMPTY;
      const cover = requireCover({ balance, leased, creditLimit: own ? limitOf(own) : 0n, given });
      if (cover === "ONCE_RETURNED") throw new CreditLent(own!.id);
    }
    if (own !== undefined) await change(tx, own, micros(limitOf(own) - given), micros(given), false);
  }
  return isSame ? undefined : { before: micros(before) };
}

interface CreditWallet extends WalletName {
  readonly id: string;
  readonly balance: Micros;
  readonly leased: Micros;
  /** What calls may use. */
  readonly creditLimit: Micros;
  readonly given: Micros;
  readonly isCovered: boolean;
}

const EMPTY = { balance: 0 as Micros, leased: 0 as Micros };

/** As it was set. */
function limitOf({ creditLimit, given }: CreditWallet): bigint {
  return BigInt(creditLimit) + BigInt(given);
}

/** SQL: an account `a`, or one above it, is closed. */
const isClosedNow = `EXISTS (SELECT FROM unnest(a.path) AS p(id) JOIN account c USING (id)
  WHERE c.node ->> 'status' = 'ACCOUNT_STATUS_CLOSED')`;

async function readAccount(
  manager: EntityManager,
  accountId: string,
): Promise<{ organizationId: string; isClosed: boolean }> {
  const [row] = await manager.query<{ organization_id: string | null; is_closed: boolean }[]>(
    `SELECT a.organization_id, ${isClosedNow} AS is_closed FROM account a WHERE a.id = $1`,
    [accountId],
  );
  return { organizationId: row?.organization_id ?? accountId, isClosed: row?.is_closed ?? false };
}

async function lockWallets(
  manager: EntityManager,
  accountIds: readonly string[],
  currency: string,
): Promise<Map<string, CreditWallet>> {
  const rows = await manager.query<
    {
      id: string;
      account_id: string;
      balance: string;
      leased: string;
      credit_limit: string;
      credit_given: string;
      credit_covered: boolean;
    }[]
  >(
    `SELECT id, account_id, balance, leased, credit_limit, credit_given, credit_covered FROM wallet
     WHERE account_id = ANY($1) AND currency = $2 ORDER BY id FOR UPDATE`,
    [accountIds, currency],
  );
  return new Map(
    rows.map((row) => [
      row.account_id,
      {
        id: row.id,
        accountId: row.account_id,
        currency,
        balance: micros(BigInt(row.balance)),
        leased: micros(BigInt(row.leased)),
        creditLimit: micros(BigInt(row.credit_limit)),
        given: micros(BigInt(row.credit_given)),
        isCovered: row.credit_covered,
      },
    ]),
  );
}

async function givenBelow(manager: EntityManager, organizationId: string, currency: string): Promise<bigint> {
  const [row] = await manager.query<[{ given: string }]>(
    `SELECT coalesce(sum(greatest(
       CASE WHEN w.credit_limit > 0 AND NOT ${isClosedNow} THEN w.credit_limit ELSE 0 END,
       w.leased - w.balance)), 0) AS given
     FROM account a JOIN wallet w ON w.account_id = a.id AND w.currency = $2
     WHERE a.path @> ARRAY[$1] AND w.credit_covered`,
    [organizationId, currency],
  );
  const given = BigInt(row.given);
  // Debts may add up to more than a number holds; so much is never left of a limit.
  return given > MOST_MICROS ? BigInt(MOST_MICROS) : given;
}

async function change(
  tx: Tx,
  wallet: CreditWallet,
  creditLimit: Micros,
  given: Micros,
  isCovered: boolean,
): Promise<void> {
  const { id, accountId } = wallet;
  await tx.manager.query(
    "UPDATE wallet SET credit_limit = $2, credit_given = $3, credit_covered = $4 WHERE id = $1",
    [id, creditLimit, given, isCovered],
  );
  if (available({ ...wallet, creditLimit }) < 0) await recallLeases(tx.manager, [id]);
  if (creditLimit <= wallet.creditLimit) return;
  await notifyFreed(tx.manager, [id]);
  // Who remembers that the wallet refused is to ask again.
  tx.changed("wallets", accountId);
}
