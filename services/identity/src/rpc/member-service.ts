import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import {
  type InvitationSchema,
  type MemberSchema,
  MemberService,
  InvitationStatus as WireInvitationStatus,
  KeyKind as WireKeyKind,
} from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Domain } from "../domain/domain.ts";
import { acceptInvitation } from "../domain/members/accept-invitation.ts";
import { type Invitation, statusOf } from "../domain/members/invitation.ts";
import { invite } from "../domain/members/invite.ts";
import { listInvitations, listMembers } from "../domain/members/list-members.ts";
import type { Member } from "../domain/members/member.ts";
import { removeMember } from "../domain/members/remove-member.ts";
import { revokeInvitation } from "../domain/members/revoke-invitation.ts";
import { updateMemberRoles } from "../domain/members/update-member-roles.ts";
import { durationMs, invitationStatusName, kindName } from "./convert-in.ts";
import { neverStored } from "./never-stored.ts";
import { shownKeyMessage } from "./shown-key-message.ts";

export function memberService(domain: Domain): Route<Principal> {
  return route<typeof MemberService, Principal>(MemberService, {
    async invite({ account, email, roles, keyKind, validFor }, call) {
      const { invitation, token, freshness } = await invite(domain, call.principal, {
        account,
        email,
        roles,
        keyKind: kindName(keyKind),
        validForMs: durationMs(validFor),
      });
      neverStored(call);
      return { invitation: invitationMessage(invitation, domain.nowMs()), token, freshness };
    },

    async listInvitations({ account, status, pageSize, pageToken }, call) {
      const { items, nextPageToken } = await listInvitations(domain, call.principal, {
        account,
        status: invitationStatusName(status),
        pageSize,
        pageToken,
      });
      const nowMs = domain.nowMs();
      return { invitations: items.map((item) => invitationMessage(item, nowMs)), nextPageToken };
    },

    async revokeInvitation({ invitation }, call) {
      const revoked = await revokeInvitation(domain, call.principal, invitation);
      return {
        invitation: invitationMessage(revoked.invitation, domain.nowMs()),
        freshness: revoked.freshness,
      };
    },

    async acceptInvitation({ token, subject, keyName }, call) {
      const { member, key, secret, freshness } = await acceptInvitation(domain, { token, subject, keyName });
      neverStored(call);
      return { member: memberMessage(member), key: shownKeyMessage(key), secret, freshness };
    },

    async listMembers({ account, pageSize, pageToken }, call) {
      const listed = await listMembers(domain, call.principal, { account, pageSize, pageToken });
      return { members: listed.items.map(memberMessage), nextPageToken: listed.nextPageToken };
    },

    async updateMemberRoles({ account, user, roles }, call) {
      const changed = await updateMemberRoles(domain, call.principal, { account, user, roles });
      return { member: memberMessage(changed.member), freshness: changed.freshness };
    },

    async removeMember({ account, user }, call) {
      return removeMember(domain, call.principal, { account, user });
    },
  });
}

function invitationMessage(invitation: Invitation, nowMs: number): MessageInitShape<typeof InvitationSchema> {
  const { id, accountId, email, roles, keyKind, expiresAt, createdAt } = invitation;
  return {
    id,
    accountId,
    email,
    roles: [...roles],
    keyKind: WireKeyKind[keyKind],
    status: WireInvitationStatus[statusOf(invitation, nowMs)],
    expiresAt: timestampFromDate(expiresAt),
    createdAt: timestampFromDate(createdAt),
  };
}

function memberMessage(member: Member): MessageInitShape<typeof MemberSchema> {
  const { userId, accountId, email, subject, roles, keyIds, createdAt, updatedAt } = member;
  return {
    userId,
    accountId,
    email,
    subject,
    roles: [...roles],
    keyIds: [...keyIds],
    createdAt: timestampFromDate(createdAt),
    updatedAt: timestampFromDate(updatedAt),
  };
}
