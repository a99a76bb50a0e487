import { type AccountNode, isProvider, isStrictAncestor, type KeyView } from "@gatehouse/access";
import { denied, Failure, invalid } from "@gatehouse/service/failure";
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
  /**
   * Opens the wallet where there is none. What is lent beyond the new limit is called back. Throws what `uncovered` makes
   * where the limit is raised, and the credit of the accounts below `coveredBy`, this one's with it, is more than its own.
   */
  setCreditLimit(
    wallet: WalletName,
    creditLimit: Micros,
    actor: Actor,
    coveredBy?: string,
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

/**
 * What an organization lets its accounts go below zero is the provider's risk. So all of it together is bounded by what the
 * provider lets the organization itself: it is handed down, not made.
 *
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED (OWN_CEILING), FAILED_PRECONDITION (CREDIT_EXHAUSTED).
 */
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
  const { id, organizationId } = await accountBelow(mirror, caller, account);
  const coveredBy = isProvider(caller) ? undefined : organizationId;
  return store.setCreditLimit({ accountId: id, currency }, micros(creditLimit), actorOf(caller), coveredBy);
}

/** Says no sums: the caller may be of one account, and they are of all. */
export function uncovered(): Failure {
  const description =
    "with it, the credit of the organization's accounts is more than the organization's own";
  const violations = [{ field: "credit_limit", description }];
  const message = `credit_limit: ${description}`;
  return new Failure({ code: "FAILED_PRECONDITION", reason: "CREDIT_EXHAUSTED", message, violations });
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
