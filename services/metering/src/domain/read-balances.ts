import type { KeyView } from "@gatehouse/access";
import { isId } from "@gatehouse/keys";
import { type CreditScope, creditScope } from "./credit-scope.ts";
import { Fields } from "./fields.ts";
import type { Mirror } from "./mirror.ts";
import { CURRENCY, type Micros, NOTHING } from "./money.ts";
import type { Wallet, WalletName } from "./movement.ts";
import { type Page, type PageDraft, pageOf, writeToken } from "./page.ts";

/** What an account has, and whether calls on it draw on that. */
export interface Balance extends Omit<Wallet, "id" | "movedAtMs"> {
  /** What an organization has handed down to accounts below it: not in `creditLimit` any more. */
  readonly creditGiven: Micros;
  readonly usesParentBalance: boolean;
}

export interface BalanceStore {
  /** Of now; nothing where there is no wallet. */
  balance(name: WalletName): Promise<Balance>;
  /** What the wallet's entries up to then add up to. */
  amountAt(name: WalletName, atMs: number): Promise<Micros>;
  /** By account and currency, after a name. */
  balances(scope: CreditScope, after: WalletName | undefined, count: number): Promise<readonly Balance[]>;
}

export interface BalanceDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly store: BalanceStore;
}

/** The balance of now, or what it was at a time. Throws Failure INVALID_ARGUMENT, NOT_FOUND. */
export async function getBalance(
  { mirror, store }: BalanceDependencies,
  caller: KeyView,
  { account, currency, atMs }: { account: string; currency: string; atMs: number | undefined },
): Promise<Balance> {
  const fields = new Fields();
  fields.account("account", account, { isRequired: false });
  fields.currency(currency);
  fields.time("at", atMs);
  fields.check();
  const { accountId } = await creditScope(mirror, caller, { account, currency, descendants: false });
  const name = { accountId, currency };
  const now = await store.balance(name);
  if (atMs === undefined) return now;
  return {
    ...now,
    balance: await store.amountAt(name, atMs),
    leased: NOTHING,
    creditLimit: NOTHING,
    creditGiven: NOTHING,
  };
}

/** Balances by account and currency. Throws Failure INVALID_ARGUMENT, NOT_FOUND. */
export async function listBalances(
  { mirror, store }: BalanceDependencies,
  caller: KeyView,
  draft: PageDraft & { account: string; descendants: boolean; currency: string },
): Promise<Page<Balance>> {
  const fields = new Fields();
  fields.account("account", draft.account, { isRequired: false });
  fields.currency(draft.currency, { isRequired: false });
  const after = fields.page(draft, isWalletName);
  fields.check();
  const scope = await creditScope(mirror, caller, draft);
  const from = after && { accountId: after[0]!, currency: after[1]! };
  return pageOf(
    draft,
    (count) => store.balances(scope, from, count),
    ({ accountId, currency }) => writeToken([accountId, currency]),
  );
}

function isWalletName([accountId = "", currency = "", ...more]: readonly string[]): boolean {
  return isId("acc", accountId) && CURRENCY.test(currency) && more.length === 0;
}
