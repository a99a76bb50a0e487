import type { Requests } from "./request.ts";
import type { World } from "./world.ts";

const SERVICE = "identity.v1.MemberService";

export const memberRequests: Requests = {
  [`${SERVICE}/Invite`]: invite,
  [`${SERVICE}/Invite:fund-manager`]: (world) => ({ ...invite(world), roles: ["fund-manager"] }),
  [`${SERVICE}/Invite:master-key`]: (world) => ({ ...invite(world), key_kind: "KEY_KIND_MASTER" }),
  [`${SERVICE}/ListInvitations`]: ({ subaccount }) => ({ account: subaccount }),
  [`${SERVICE}/RevokeInvitation`]: async (world) => ({ invitation: (await invited(world)).invitation.id }),
  [`${SERVICE}/AcceptInvitation`]: async (world) => ({
    token: (await invited(world)).token,
    subject: world.fresh(),
  }),
  [`${SERVICE}/ListMembers`]: ({ subaccount }) => ({ account: subaccount }),
  [`${SERVICE}/UpdateMemberRoles`]: async (world) => ({ ...(await member(world)), roles: ["administrator"] }),
  [`${SERVICE}/UpdateMemberRoles:fund-manager`]: async (world) => ({
    ...(await member(world)),
    roles: ["fund-manager"],
  }),
  [`${SERVICE}/RemoveMember`]: member,
};

function invite({ subaccount, fresh }: World) {
  return { account: subaccount, email: `${fresh()}@example.com`, roles: ["developer"] };
}

function invited(world: World) {
  return world.made(`${SERVICE}/Invite`, invite(world));
}

async function member(world: World): Promise<{ account: string; user: string }> {
  const { token } = await invited(world);
  const accepted = await world.made(`${SERVICE}/AcceptInvitation`, { token, subject: world.fresh() });
  return { account: world.subaccount, user: accepted.member.userId };
}
