import type { KeyKind } from "@gatehouse/access";
import { EntitySchema } from "typeorm";
import type { Invitation, InvitationState } from "../domain/members/invitation.ts";

/** A row of `invitation`, or the same as JSON, where times are text. */
export interface InvitationRow {
  id: string;
  account_id: string;
  email: string;
  roles: string[];
  key_kind: KeyKind;
  state: InvitationState;
  /** SHA-256 of the token; empty once it is settled. */
  token_hash: string;
  invited_by: string;
  expires_at: Date | string;
  created_at: Date | string;
  updated_at: Date | string;
}

export const invitationRows = new EntitySchema<InvitationRow>({
  name: "invitation",
  columns: {
    id: { type: "text", primary: true },
    account_id: { type: "text" },
    email: { type: "text" },
    roles: { type: "text", array: true },
    key_kind: { type: "text" },
    state: { type: "text" },
    token_hash: { type: "text" },
    invited_by: { type: "text" },
    expires_at: { type: "timestamptz" },
    created_at: { type: "timestamptz" },
    updated_at: { type: "timestamptz" },
  },
});

export function invitationOf(row: InvitationRow): Invitation {
  return {
    id: row.id,
    accountId: row.account_id,
    email: row.email,
    roles: row.roles,
    keyKind: row.key_kind,
    state: row.state,
    tokenHash: row.token_hash,
    invitedBy: row.invited_by,
    expiresAt: new Date(row.expires_at),
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  };
}

export function invitationRow(invitation: Invitation): InvitationRow {
  return {
    id: invitation.id,
    account_id: invitation.accountId,
    email: invitation.email,
    roles: [...invitation.roles],
    key_kind: invitation.keyKind,
    state: invitation.state,
    token_hash: invitation.tokenHash,
    invited_by: invitation.invitedBy,
    expires_at: invitation.expiresAt,
    created_at: invitation.createdAt,
    updated_at: invitation.updatedAt,
  };
}
