import { isStrictAncestor, type Principal } from "@gatehouse/access";
import { denied, failedPrecondition } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { type ChangedAccount, changeAccount } from "./change-account.ts";

/** Stops an account and its subtree. Suspending again changes the reason. */
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
    become: ([before]) =>
      before.status === status && before.suspensionReason === reason
        ? before
        : { ...before, status, suspensionReason: reason },
  });
}

function ownAccount(status: Transition["status"]) {
  return status === "SUSPENDED"
    ? failedPrecondition("SELF_LOCKOUT", "the account is the one whose key the call is made with")
    : denied("OWN_CEILING", "only an account above may resume it");
}
