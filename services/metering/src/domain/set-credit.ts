import { type AccountNode, isProvider, isStrictAncestor, type KeyView } from "@gatehouse/access";
import { denied, Failure, invalid } from "@gatehouse/service/failure";
import { type Actor, actorOf } from "./actor.ts";
import { Fields } from "./fields.ts";
import type { Mirror } from "./mirror.ts";
import { type Micros, micros } from "./money.ts";
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
   * Opens the wallet where there is none. What is lent beyond the new limit is called back. `mustBeCovered`: what it is
   * raised to is taken off what the organization's own wallet has; throws what `requireCover` throws, and FINAL_STATE
   * where the limit of a closed account is raised.
   */
  setCreditLimit(
    wallet: WalletName,
    creditLimit: Micros,
    actor: Actor,
    mustBeCovered?: boolean,
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
  const fields = new Fields();
  fields.account("account", account);
  fields.check();
  const { id, organizationId } = await accountBelow(mirror, caller, account);
  if (usesParentBalance && id === organizationId) {
    // Its parent is the root, which pays for nothing: its calls would be free.
    throw invalid([{ field: "uses_parent_balance", description: "an organization pays for itself" }]);
  }
  const { freshness } = await store.setBalanceSource(id, usesParentBalance, actorOf(caller));
  return { accountId: id, freshness };
}

/**
 * What an organization lets its accounts go below zero is the provider's risk. So it is handed down, not made: taken off
 * what the organization itself has, its money and what the provider lets it go below zero.
 *
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED (OWN_CEILING), FAILED_PRECONDITION (CREDIT_EXHAUSTED,
 * FINAL_STATE), UNAVAILABLE.
 */
export async function setCreditLimit(
  { mirror, store }: CreditTermsDependencies,
  caller: KeyView,
  { account, currency, creditLimit }: { account: string; currency: string; creditLimit: bigint },
): Promise<{ balance: Balance; freshness: string }> {
  const fields = new Fields();
  fields.account("account", account);
  fields.currency(currency);
  fields.amount("credit_limit", creditLimit, 0n);
  fields.check();
  const { id } = await accountBelow(mirror, caller, account);
  const mustBeCovered = !isProvider(caller);
  return store.setCreditLimit(
    { accountId: id, currency },
    micros(creditLimit),
    actorOf(caller),
    mustBeCovered,
  );
}

/** An organization's wallet, and what of its credit limit its accounts would have. */
export interface OwnCredit {
  readonly balance: Micros;
  readonly leased: Micros;
  readonly creditLimit: bigint;
  readonly given: bigint;
}

/**
 * Answers whether what is given is covered now, or only once replicas have returned what they hold of the organization's
 * wallet. What it has used itself is not there to be given.
 *
 * Throws Failure FAILED_PRECONDITION (CREDIT_EXHAUSTED). It says no sums: the caller may be of one account, and they are of all.
 */
export function requireCover({ balance, leased, creditLimit, given }: OwnCredit): "NOW" | "ONCE_RETURNED" {
  const left = BigInt(balance) + creditLimit - given;
  if (left < 0n) {
    const description = "is more than the organization has left of its own money and credit";
    const violations = [{ field: "credit_limit", description }];
    const message = `credit_limit: ${description}`;
    throw new Failure({ code: "FAILED_PRECONDITION", reason: "CREDIT_EXHAUSTED", message, violations });
  }
  return left < BigInt(leased) ? "ONCE_RETURNED" : "NOW";
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
