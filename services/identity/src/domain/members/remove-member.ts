import type { Principal } from "@gatehouse/access";
import { failedPrecondition } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { audited, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { requireManager } from "../rules/actor.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { changeMember, requireMayChange } from "./change-member.ts";
import { auditedMember } from "./member.ts";

/** As the caller sent it; empty where it said nothing. */
export interface RemoveMemberRequest {
  readonly account: string;
  readonly user: string;
}

/**
 * Ends a membership and revokes its personal keys with their sub-keys. Service keys that the person made stay, and so
 * do the person's other memberships.
 */
export function removeMember(
  domain: Domain,
  actor: Principal,
  request: RemoveMemberRequest,
): Promise<{ freshness: string }> {
  const fields = new Fields();
  const name = fields.reference("account", request.account);
  const userId = fields.reference("user", request.user, { required: true }) ?? "";
  fields.check();
  const attempt = { actor, action: "gatehouse.members.remove", target: userId };
  return audited(domain, attempt, async () => {
    requireManager(actor);
    const chain = await findAccount(domain.store, actor, name);
    const [account] = chain;
    const { freshness } = await changeMember(domain, attempt, { chain, userId }, async (change, found) => {
      const { caller, member } = found;
      if (member.keyIds.includes(caller.view.key.id)) {
        throw failedPrecondition("SELF_LOCKOUT", "the call is made with a key of the member's own");
      }
      requireMayChange(found);
      const at = new Date(domain.nowMs());
      for (const keyId of member.keyIds) await change.keys.revoke(keyId, at);
      await change.members.delete(account.id, userId);
      const audit = { target: userId, account, before: auditedMember(member), after: null };
      await change.audit(done(attempt, at, audit));
    });
    return { freshness };
  });
}
