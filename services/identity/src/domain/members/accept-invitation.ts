import { effectiveGrant, type Principal, reaches, stateOfChain } from "@gatehouse/access";
import { alreadyExists, Failure, unauthenticated } from "@gatehouse/service/failure";
import type { Account, Chain } from "../accounts/account.ts";
import type { Domain } from "../domain.ts";
import { audited, auditedKey, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { mintKey } from "../keys/new-key.ts";
import { type ShownKey, showKey } from "../keys/show-key.ts";
import { judgeRoles } from "../rules/grant-rule.ts";
import { requireFeatures } from "../rules/plan-feature-rule.ts";
import { keysGate, requireRoomForKeys } from "../rules/plan-rule.ts";
import type { Change } from "../store.ts";
import { type Invitation, invitationIdOf, membersGate, statusOf, tokenMatches } from "./invitation.ts";
import { requireOffered } from "./invite.ts";
import { auditedMember, type Member } from "./member.ts";

/** As the caller sent it; empty where it said nothing. */
export interface AcceptInvitationRequest {
  readonly token: string;
  readonly subject: string;
  readonly keyName: string;
}

export interface Accepted {
  readonly member: Member;
  readonly key: ShownKey;
  readonly secret: string;
  readonly freshness: string;
}

const MAX_SUBJECT = 200;
const PERSONAL = "personal";
/** More than a plan that anybody bought has keys; each costs one index probe. */
const MAX_NUMBERED = 1000;

/**
 * Makes the person a member and mints the personal key. The token is the credential, and no good one, for whatever
 * reason, is answered the same: who guesses learns nothing, not even that an invitation was there.
 *
 * An invitation stands while the key that made it could still make it: enabled, reaching the account, and covering
 * what is offered. Else whoever is about to lose a key invites themselves first. That the key has expired meanwhile
 * does not count: what it minted stays too.
 */
export async function acceptInvitation(domain: Domain, request: AcceptInvitationRequest): Promise<Accepted> {
  const wanted = check(request);
  const { invitation: offered, account } = await findOffered(domain, wanted.token);
  const attempt = { actor: undefined, action: "gatehouse.members.accept", target: offered.id, account };
  return audited(domain, attempt, async () => {
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [offered.invitedBy, ...account.path],
        changed: [membersGate(account.id), keysGate(account.id)],
      });
      const { invitation, owner } = await stillStanding(domain, change, offered.id);
      const at = new Date(domain.nowMs());
      const { earlier, userId } = await requireNoMember(change, account, wanted.subject, at);
      const { keyKind: kind, roles, email } = invitation;
      await requireFeatures(change, owner, { kind, roles });
      await requireRoomForKeys(change, owner, kind);
      const name = wanted.keyName || (await freeName(change, account));
      const { key, secret } = mintKey(
        domain.format,
        { accountId: account.id, kind, name, roles, scopes: [], userId },
        at,
      );
      const member: Member = {
        userId,
        accountId: account.id,
        email,
        subject: wanted.subject,
        roles,
        keyIds: [key.id],
        createdAt: earlier?.createdAt ?? at,
        updatedAt: at,
      };
      await change.members.put(member);
      await change.keys.insert(key);
      await change.invitations.settle(invitation.id, "ACCEPTED", at);
      const before = earlier && auditedMember(earlier);
      const after = { ...auditedMember(member), invitation: invitation.id, key: auditedKey(key) };
      await change.audit(done(attempt, at, { target: userId, account, before, after }));
      const view = { key, parent: undefined, chain: owner };
      return { member, key: await showKey(change, view, at.getTime()), secret };
    });
    return { ...value, freshness };
  });
}

function check(request: AcceptInvitationRequest) {
  const fields = new Fields();
  if (request.token === "") fields.wrong("token", "is required");
  fields.text("subject", request.subject, { min: 1, max: MAX_SUBJECT });
  if (request.keyName !== "") fields.keyName("key_name", request.keyName);
  fields.check();
  return request;
}

async function findOffered(
  domain: Domain,
  token: string,
): Promise<{ invitation: Invitation; account: Account }> {
  const { store, format, nowMs } = domain;
  const invitationId = invitationIdOf(format, token);
  const found = invitationId && (await store.invitations.find(invitationId));
  if (!found || !tokenMatches(found.invitation, token)) throw noGood();
  if (statusOf(found.invitation, nowMs()) !== "PENDING") throw noGood();
  return { invitation: found.invitation, account: found.chain[0] };
}

/** The invitation as it is behind the gates, judged against the key that made it as that is now. */
async function stillStanding(
  domain: Domain,
  change: Change,
  invitationId: string,
): Promise<{ invitation: Invitation; owner: Chain }> {
  const { invitation, chain: owner } = (await change.invitations.find(invitationId))!;
  const view = (await change.keys.find(invitation.invitedBy))!;
  const stands =
    statusOf(invitation, domain.nowMs()) === "PENDING" &&
    stateOfChain(owner) === "VALID" &&
    view.key.status === "ENABLED" &&
    reaches(view, owner);
  const inviter: Principal = { view, grant: effectiveGrant(view) };
  if (!stands || !stillOffered(domain, inviter, owner, invitation)) throw noGood();
  return { invitation, owner };
}

/** Would the key be let make the same offer now? By the rules of Invite, whose reasons are not for this caller. */
function stillOffered(domain: Domain, inviter: Principal, owner: Chain, invitation: Invitation): boolean {
  if (!inviter.grant.allows("gatehouse.members.invite")) return false;
  try {
    const fields = new Fields();
    judgeRoles(fields, owner, "roles", invitation.roles);
    fields.check();
    requireOffered(domain, inviter, owner, invitation);
    return true;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}

/** A membership whose personal keys are all revoked is no obstacle: it goes on, with what is offered now. */
async function requireNoMember(change: Change, account: Account, subject: string, at: Date) {
  const userId = await change.members.userOf(account, subject, at);
  const earlier = await change.members.find(account.id, userId);
  if (earlier !== undefined && earlier.keyIds.length > 0) {
    throw alreadyExists("ALREADY_MEMBER", "the person is a member of the account, and has a personal key");
  }
  return { earlier, userId };
}

async function freeName(change: Change, { id }: Account): Promise<string> {
  const name = await change.members.freeKeyName(id, PERSONAL, MAX_NUMBERED);
  if (name === undefined) throw alreadyExists("NAME_TAKEN", "name the key: all names of ours are taken");
  return name;
}

function noGood(): Failure {
  return unauthenticated("CREDENTIAL_INVALID");
}
