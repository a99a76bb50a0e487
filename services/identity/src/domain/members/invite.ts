import { type KeyKind, type Principal, stateOfChain } from "@gatehouse/access";
import { mintId } from "@gatehouse/keys";
import { denied, Failure, failedPrecondition } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";
import type { Domain } from "../domain.ts";
import { audited, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { mintKey } from "../keys/new-key.ts";
import { reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { checkAhead } from "../rules/check-ahead.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { judgeRoles, requireCovered } from "../rules/grant-rule.ts";
import { requireFeatures } from "../rules/plan-feature-rule.ts";
import type { Change } from "../store.ts";
import { auditedInvitation, type Invitation, membersGate, mintToken } from "./invitation.ts";

/** As the caller sent it; empty where it said nothing. */
export interface InviteRequest {
  readonly account: string;
  readonly email: string;
  readonly roles: readonly string[];
  readonly keyKind: string | undefined;
  readonly validForMs: number | undefined;
}

export interface Invited {
  readonly invitation: Invitation;
  /** The only copy. */
  readonly token: string;
  readonly freshness: string;
}

/** Far more than any team has open, and few enough that nobody fills a disk with offers. */
export const MAX_PENDING_INVITATIONS = 1000;

const DAY_MS = 24 * 60 * 60 * 1000;
const SHORTEST_MS = 60_000;
const DEFAULT_MS = 7 * DAY_MS;
const LONGEST_MS = 90 * DAY_MS;
const MAX_EMAIL = 254;

/** Offers a person roles on an account in the caller's reach. */
export function invite(domain: Domain, actor: Principal, request: InviteRequest): Promise<Invited> {
  const fields = new Fields();
  const wanted = read(fields, request);
  const attempt = { actor, action: "gatehouse.members.invite", target: wanted.account ?? "" };
  return audited(domain, attempt, async () => {
    await checkAhead(actor, fields, async () => {
      if (fields.isWrong("account")) return;
      const chain = await findAccount(domain.store, actor, wanted.account);
      judgeRoles(fields, chain, "roles", request.roles);
    });
    requireManager(actor);
    const { email, roles, keyKind } = wanted;
    if (keyKind === "MASTER" && actor.view.key.kind !== "MASTER") {
      throw denied("KEY_KIND_DENIED", "only a master key offers a master key");
    }
    const chain = await findAccount(domain.store, actor, wanted.account);
    const [{ id: accountId, path }] = chain;
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({ reliedOn: [...reliedOnBy(actor), ...path], changed: [membersGate(accountId)] });
      const inviter = await stillPermitted(domain, change, attempt, { chain });
      const owner = (await change.accounts.find(accountId))!;
      if (stateOfChain(owner) !== "VALID") {
        throw failedPrecondition("ACCOUNT_INACTIVE", "the account, or one above it, is not active");
      }
      judgeRoles(fields, owner, "roles", request.roles);
      fields.check();
      requireOffered(domain, inviter, owner, wanted);
      await requireFeatures(change, owner, { kind: keyKind, roles });
      const at = new Date(domain.nowMs());
      await requireRoomForInvitation(change, accountId, at);
      const id = mintId("inv");
      const { token, tokenHash } = mintToken(domain.format, id);
      const invitation: Invitation = {
        id,
        accountId,
        email,
        roles,
        keyKind,
        state: "PENDING",
        tokenHash,
        invitedBy: inviter.view.key.id,
        expiresAt: new Date(at.getTime() + wanted.validForMs),
        createdAt: at,
        updatedAt: at,
      };
      await change.invitations.insert(invitation);
      const after = auditedInvitation(invitation);
      await change.audit(done(attempt, at, { target: id, account: owner[0], after }));
      return { invitation, token };
    });
    return { ...value, freshness };
  });
}

/** Throws Failure GRANT_EXCEEDS_HOLDER where the personal key could do more to Gatehouse than who offers it. */
export function requireOffered(
  domain: Domain,
  inviter: Principal,
  owner: Chain,
  { roles, keyKind }: { roles: readonly string[]; keyKind: KeyKind },
): void {
  // Judged as the key that it will be; this one is thrown away.
  const wish = { accountId: owner[0].id, kind: keyKind, name: "", roles, scopes: [] };
  const { key } = mintKey(domain.format, wish, new Date(domain.nowMs()));
  requireCovered(inviter, { key, parent: undefined, chain: owner });
}

function read(fields: Fields, request: InviteRequest) {
  const offerable: readonly KeyKind[] = ["MASTER", "ACCOUNT"];
  const wanted = {
    account: fields.reference("account", request.account),
    email: fields.text("email", request.email, { min: 1, max: MAX_EMAIL }),
    roles: fields.roles("roles", request.roles),
    keyKind: fields.choice("key_kind", request.keyKind, offerable) ?? "ACCOUNT",
    validForMs: request.validForMs ?? DEFAULT_MS,
  };
  // Whether it is anybody's, only a letter to it can tell.
  if (
    request.email !== "" &&
    !/^[^\s@\p{C}]{1,254}@[^\s@\p{C}]{1,254}$/u.test(request.email.slice(0, 2 * MAX_EMAIL))
  ) {
    fields.wrong("email", "must be an address: something, one @, something, without spaces");
  }
  if (request.roles.length === 0) fields.wrong("roles", "must name at least one role");
  if (!(wanted.validForMs >= SHORTEST_MS && wanted.validForMs <= LONGEST_MS)) {
    fields.wrong("valid_for", "must be 1 minute to 90 days");
  }
  return wanted;
}

async function requireRoomForInvitation(change: Change, accountId: string, at: Date): Promise<void> {
  if ((await change.invitations.countPending(accountId, at)) < MAX_PENDING_INVITATIONS) return;
  const description = `an account has ${MAX_PENDING_INVITATIONS} pending invitations`;
  throw new Failure({
    code: "RESOURCE_EXHAUSTED",
    reason: "PLAN_LIMIT",
    message: `${description}; revoke some, or let them expire`,
    quota: [{ subject: `account:${accountId}`, description }],
  });
}
