import type { Principal } from "@gatehouse/access";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { type Listed, pageOf } from "../list.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { INVITATION_STATUSES, type Invitation } from "./invitation.ts";
import type { Member } from "./member.ts";

/** As the caller sent it; empty where it said nothing. */
export interface ListInvitationsRequest {
  readonly account: string;
  readonly status: string | undefined;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** As the caller sent it; empty where it said nothing. */
export interface ListMembersRequest {
  readonly account: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** The invitations of one account, oldest first. */
export async function listInvitations(
  domain: Domain,
  actor: Principal,
  request: ListInvitationsRequest,
): Promise<Listed<Invitation>> {
  const { pageSize, pageToken, ...said } = request;
  const filter = { of: "invitations", ...said };
  const fields = new Fields();
  const account = fields.reference("account", request.account);
  const status = fields.choice("status", request.status, INVITATION_STATUSES);
  const page = fields.page(pageSize, pageToken, filter);
  fields.check();
  const [{ id: accountId }] = await findAccount(domain.store, actor, account);
  const found = await domain.store.invitations.list(
    { accountId, status, at: new Date(domain.nowMs()) },
    { ...page, limit: page.limit + 1 },
  );
  return pageOf(found, page, filter, ({ id }) => id);
}

/** The members of one account, by user. */
export async function listMembers(
  domain: Domain,
  actor: Principal,
  request: ListMembersRequest,
): Promise<Listed<Member>> {
  const { pageSize, pageToken, ...said } = request;
  const filter = { of: "members", ...said };
  const fields = new Fields();
  const account = fields.reference("account", request.account);
  const page = fields.page(pageSize, pageToken, filter);
  fields.check();
  const [{ id: accountId }] = await findAccount(domain.store, actor, account);
  const found = await domain.store.members.list(accountId, { ...page, limit: page.limit + 1 });
  return pageOf(found, page, filter, ({ userId }) => userId);
}
