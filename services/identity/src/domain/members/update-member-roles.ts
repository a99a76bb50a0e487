import type { Principal } from "@gatehouse/access";
import { denied } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { audited, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { requireManager } from "../rules/actor.ts";
import { checkAhead } from "../rules/check-ahead.ts";
import { requireNotClosed } from "../rules/closed-rule.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { judgeRoles } from "../rules/grant-rule.ts";
import { requireFeatures } from "../rules/plan-feature-rule.ts";
import { changeMember, type MemberInChange, requireMayChange } from "./change-member.ts";
import { requireOffered } from "./invite.ts";
import { auditedMember, type Member } from "./member.ts";

/** As the caller sent it; empty where it said nothing. */
export interface UpdateMemberRolesRequest {
  readonly account: string;
  readonly user: string;
  readonly roles: readonly string[];
}

export interface ChangedMember {
  readonly member: Member;
  readonly freshness: string;
}

/** Changes a member's roles, and with them those of all its personal keys of the account. */
export function updateMemberRoles(
  domain: Domain,
  actor: Principal,
  request: UpdateMemberRolesRequest,
): Promise<ChangedMember> {
  const fields = new Fields();
  const { account: name, user: userId, roles } = read(fields, request);
  const attempt = { actor, action: "gatehouse.members.update", target: userId };
  return audited(domain, attempt, async () => {
    await checkAhead(actor, fields, async () => {
      if (fields.isWrong("account")) return;
      judgeRoles(fields, await findAccount(domain.store, actor, name), "roles", request.roles);
    });
    requireManager(actor);
    const chain = await findAccount(domain.store, actor, name);
    const [account] = chain;
    const { value, freshness } = await changeMember(
      domain,
      attempt,
      { chain, userId },
      async (change, found) => {
        const { caller, member, keys } = found;
        if (member.keyIds.includes(caller.view.key.id)) {
          throw denied("OWN_CEILING", "nobody changes their own roles");
        }
        requireMayChange(found);
        const owner = (await change.accounts.find(account.id))!;
        requireNotClosed(owner);
        judgeRoles(fields, owner, "roles", request.roles);
        fields.check();
        // Roles only allow, so what is added is all that can make a key wider; taking away needs nothing.
        const added = roles.filter((role) => !heldByAll(role, found));
        requireOffered(domain, caller, owner, { roles: added, keyKind: "ACCOUNT" });
        await requireFeatures(change, owner, { roles: added });
        if (added.length === 0 && [member, ...keys].every((held) => held.roles.length === roles.length)) {
          return member;
        }
        const at = new Date(domain.nowMs());
        await change.members.setRoles(account.id, userId, roles, at);
        const after = (await change.members.find(account.id, userId))!;
        const audit = { target: userId, account, before: auditedMember(member), after: auditedMember(after) };
        await change.audit(done(attempt, at, audit));
        return after;
      },
    );
    return { member: value, freshness };
  });
}

function read(fields: Fields, request: UpdateMemberRolesRequest) {
  const wanted = {
    account: fields.reference("account", request.account),
    user: fields.reference("user", request.user, { required: true }) ?? "",
    roles: fields.roles("roles", request.roles),
  };
  if (request.roles.length === 0) fields.wrong("roles", "must name at least one role");
  return wanted;
}

function heldByAll(role: string, { member, keys }: MemberInChange): boolean {
  return [member, ...keys].every(({ roles }) => roles.includes(role));
}
