import { isStrictAncestor, type Principal } from "@gatehouse/access";
import { denied, failedPrecondition } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import type { Account } from "./account.ts";
import { type ChangedAccount, changeAccount } from "./change-account.ts";

/** Stops an account and its subtree. Suspending again changes the reason, and from further up who may resume it. */
export function suspendAccount(
  domain: Domain,
  actor: Principal,
  request: { account: string; reason: string },
): Promise<ChangedAccount> {
  const fields = new Fields();
  fields.reference("account", request.account, { required: true });
  fields.text("reason", request.reason, { max: 100 });
  fields.check();
  return changeStatus(domain, actor, request.account, {
    action: "gatehouse.accounts.suspend",
    status: "SUSPENDED",
    reason: request.reason,
  });
}

/** Lets a suspended account work again; a descendant's own suspension stays. */
export function resumeAccount(
  domain: Domain,
  actor: Principal,
  request: { account: string },
): Promise<ChangedAccount> {
  const fields = new Fields();
  fields.reference("account", request.account, { required: true });
  fields.check();
  return changeStatus(domain, actor, request.account, {
    action: "gatehouse.accounts.resume",
    status: "ACTIVE",
    reason: "",
  });
}

interface Transition {
  readonly action: string;
  readonly status: "SUSPENDED" | "ACTIVE";
  readonly reason: string;
}

function changeStatus(
  domain: Domain,
  actor: Principal,
  name: string,
  { action, status, reason }: Transition,
): Promise<ChangedAccount> {
  return changeAccount(domain, actor, {
    action,
    name,
    permit: (target) => {
      // In reach and not strictly below the caller: it is the caller's own account.
      if (!isStrictAncestor(actor.view, target)) throw ownAccount(status);
    },
    become: ([before]) => {
      const by = actor.view.key.accountId;
      const isSo = before.status === status && before.suspensionReason === reason;
      if (isSo && (status === "ACTIVE" || !isAbove(by, before))) return before;
      requireNotFromFurtherUp(by, before);
      return { ...before, status, suspensionReason: reason, suspendedBy: status === "ACTIVE" ? "" : by };
    },
  });
}

/** Is it an account strictly above the one that suspended this, or the first that is known to? */
function isAbove(accountId: string, { path, suspendedBy }: Account): boolean {
  return suspendedBy === "" || path.indexOf(accountId) < path.indexOf(suspendedBy);
}

// What the provider suspended, an organization does not set free.
function requireNotFromFurtherUp(accountId: string, before: Account): void {
  if (before.suspendedBy === accountId || isAbove(accountId, before)) return;
  throw denied("OWN_CEILING", "an account further up suspended it, and only from there on up that changes");
}

function ownAccount(status: Transition["status"]) {
  return status === "SUSPENDED"
    ? failedPrecondition("SELF_LOCKOUT", "the account is the one whose key the call is made with")
    : denied("OWN_CEILING", "only an account above may resume it");
}
