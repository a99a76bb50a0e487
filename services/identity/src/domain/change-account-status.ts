import { isStrictAncestor, type Principal } from "@gatehouse/access";
import { denied, failedPrecondition } from "@gatehouse/service/failure";
import type { Account } from "./account.ts";
import { reliedOnBy, requireManager, stillAlive } from "./actor.ts";
import { audited, auditedAccount, done } from "./audit.ts";
import type { Domain } from "./domain.ts";
import { Fields } from "./fields.ts";
import { findAccount } from "./find-in-reach.ts";

export interface ChangedAccount {
  readonly account: Account;
  readonly freshness: string;
}

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
  const attempt = { actor, action, target: name };
  return audited(domain, attempt, async () => {
    requireManager(actor);
    const chain = await findAccount(domain.store, actor, name);
    // In reach and not strictly below the caller: it is the caller's own account.
    if (!isStrictAncestor(actor.view, chain)) throw ownAccount(status);
    const [{ id, path }] = chain;
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({ reliedOn: [...reliedOnBy(actor), ...path.slice(0, -1)], changed: [id] });
      await stillAlive(domain, change, actor);
      const [before] = (await change.accounts.find(id))!;
      if (before.status === status && before.suspensionReason === reason) return before;
      if (before.status === "CLOSED") throw failedPrecondition("FINAL_STATE", "the account is closed");
      const at = new Date(domain.nowMs());
      await change.accounts.setStatus(id, status, reason, at);
      const account: Account = { ...before, status, suspensionReason: reason, updatedAt: at };
      const audit = { target: id, account, before: auditedAccount(before), after: auditedAccount(account) };
      await change.audit(done(attempt, at, audit));
      return account;
    });
    return { account: value, freshness };
  });
}

function ownAccount(status: Transition["status"]) {
  return status === "SUSPENDED"
    ? failedPrecondition("SELF_LOCKOUT", "the account is the one whose key the call is made with")
    : denied("OWN_CEILING", "only an account above may resume it");
}
