import { type Principal, reaches } from "@gatehouse/access";
import { denied, failedPrecondition, notFound } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { audited, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import type { Reads } from "../store.ts";
import { auditedInvitation, type Invitation, membersGate } from "./invitation.ts";
import type { InvitationInTree } from "./member-store.ts";

/** Takes back an invitation that has not been accepted; one that has expired too. */
export function revokeInvitation(
  domain: Domain,
  actor: Principal,
  invitationId: string,
): Promise<{ invitation: Invitation; freshness: string }> {
  const fields = new Fields();
  fields.reference("invitation", invitationId, { required: true });
  fields.check();
  const attempt = { actor, action: "gatehouse.members.revoke-invitation", target: invitationId };
  return audited(domain, attempt, async () => {
    requireManager(actor);
    const { invitation: offered, chain } = await findInvitation(domain.store, actor, invitationId);
    const [account] = chain;
    if (offered.keyKind === "MASTER" && actor.view.key.kind !== "MASTER") {
      throw denied("KEY_KIND_DENIED", "only a master key takes back a master key");
    }
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...account.path],
        changed: [membersGate(account.id)],
      });
      await stillPermitted(domain, change, attempt, { chain, what: "invitation" });
      const { invitation: before } = (await change.invitations.find(invitationId))!;
      if (before.state === "REVOKED") return before;
      if (before.state === "ACCEPTED") throw failedPrecondition("FINAL_STATE", "the invitation is accepted");
      const at = new Date(domain.nowMs());
      await change.invitations.settle(invitationId, "REVOKED", at);
      const { invitation: after } = (await change.invitations.find(invitationId))!;
      const audit = { before: auditedInvitation(before), after: auditedInvitation(after) };
      await change.audit(done(attempt, at, { target: invitationId, account, ...audit }));
      return after;
    });
    return { invitation: value, freshness };
  });
}

/** What is of an account out of reach takes the same way to the same NOT_FOUND as what does not exist. */
async function findInvitation(
  reads: Reads,
  actor: Principal,
  invitationId: string,
): Promise<InvitationInTree> {
  const found = await reads.invitations.find(invitationId);
  if (found === undefined || !reaches(actor.view, found.chain)) throw notFound("invitation");
  return found;
}
