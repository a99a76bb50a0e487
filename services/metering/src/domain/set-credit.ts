import { type AccountNode, isStrictAncestor, type KeyView } from "@gatehouse/access";
import { denied, invalid } from "@gatehouse/service/failure";
import type { Actor } from "./limit-store.ts";
import type { Mirror } from "./mirror.ts";
import { type Micros, micros } from "./money.ts";
import { MoneyFields } from "./money-fields.ts";
import type { WalletName } from "./movement.ts";
import { nodeInReach } from "./node-in-reach.ts";
import type { Balance } from "./read-balances.ts";

export interface CreditTermsStore {
  /** Says whom an account's calls draw on; followers hear of it. */
  setBalanceSource(
    accountId: string,
    usesParentBalance: boolean,
    actor: Actor,
  ): Promise<{ readonly freshness: string }>;
  /** Opens the wallet where there is none. What is lent beyond the new limit is called back. */
  setCreditLimit(
    wallet: WalletName,
    creditLimit: Micros,
    actor: Actor,
  ): Promise<{ readonly balance: Balance; readonly freshness: string }>;
}

export interface CreditTermsDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly store: CreditTermsStore;
}

/** Throws Failure INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED (OWN_CEILING). */
export async function setBalanceSource(
  { mirror, store }: CreditTermsDependencies,
  caller: KeyView,
  { account, usesParentBalance }: { account: string; usesParentBalance: boolean },
): Promise<{ accountId: string; freshness: string }> {
  const fields = new MoneyFields();
  fields.account("account", account);
  if (fields.violations.length > 0) throw invalid(fields.violations);
  const { id, organizationId } = await accountBelow(mirror, caller, account);
  if (usesParentBalance && id === organizationId) {
    // Its parent is the root, which pays for nothing: its calls would be free.
    throw invalid([{ field: "uses_parent_balance", description: "an organization pays for itself" }]);
  }
  const { freshness } = await store.setBalanceSource(id, usesParentBalance, actorOf(caller));
  return { accountId: id, freshness };
}

/** Throws Failure INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED (OWN_CEILING). */
export async function setCreditLimit(
  { mirror, store }: CreditTermsDependencies,
  caller: KeyView,
  { account, currency, creditLimit }: { account: string; currency: string; creditLimit: bigint },
): Promise<{ balance: Balance; freshness: string }> {
  const fields = new MoneyFields();
  fields.account("account", account);
  fields.currency(currency);
  fields.amount("credit_limit", creditLimit, 0n);
  if (fields.violations.length > 0) throw invalid(fields.violations);
  const { id } = await accountBelow(mirror, caller, account);
  return store.setCreditLimit({ accountId: id, currency }, micros(creditLimit), actorOf(caller));
}

/** An account in reach that is not the caller's own: nobody says what their own money may do. */
async function accountBelow(mirror: Mirror, caller: KeyView, name: string): Promise<AccountNode> {
  const { chain } = await nodeInReach(mirror, caller, { kind: "ACCOUNT", name });
  if (chain.length === 1) throw denied("OWN_CEILING", "the root has no wallets");
  if (!isStrictAncestor(caller, chain)) {
    throw denied("OWN_CEILING", "an account's credit is set from an account above it");
  }
  return chain[0]!;
}

function actorOf({ key }: KeyView): Actor {
  return { keyId: key.id, accountId: key.accountId };
}
