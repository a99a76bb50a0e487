import { randomBytes } from "node:crypto";
import type { KeyKind } from "@gatehouse/access";
import { hashesEqual, hashSecret, type InvitationId, isId } from "@gatehouse/keys";
import type { Account } from "../accounts/account.ts";

/** Settled is final: an invitation is accepted or taken back once. */
export type InvitationState = "PENDING" | "ACCEPTED" | "REVOKED";

export const INVITATION_STATUSES = ["PENDING", "ACCEPTED", "REVOKED", "EXPIRED"] as const;
export type InvitationStatus = (typeof INVITATION_STATUSES)[number];

/** The offer of a membership. */
export interface Invitation {
  readonly id: string;
  readonly accountId: string;
  readonly email: string;
  readonly roles: readonly string[];
  /** Of the personal key; never SUB. */
  readonly keyKind: KeyKind;
  readonly state: InvitationState;
  /** SHA-256 of the token; empty once it is settled. */
  readonly tokenHash: string;
  /** The key that made it. It stands only while that key could still make it. */
  readonly invitedBy: string;
  readonly expiresAt: Date;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** As callers see it: what waits for longer than it was to wait has expired. */
export function statusOf({ state, expiresAt }: Invitation, nowMs: number): InvitationStatus {
  return state === "PENDING" && nowMs >= expiresAt.getTime() ? "EXPIRED" : state;
}

/**
 * Whoever makes, settles or counts the invitations of an account, or changes its members, holds this exclusively: so
 * an invitation is settled once, and a membership is not ended while it begins.
 */
export function membersGate(accountId: Account["id"]): string {
  return `members:${accountId}`;
}

/**
 * `gth_inv_`, the 20 characters of the invitation's id, and 256 random bits in hexadecimal. The id finds the
 * invitation by its primary key, so what is compared is one hash, in constant time.
 */
export function mintToken(prefix: string, id: InvitationId): { token: string; tokenHash: string } {
  const secret = randomBytes(SECRET_BYTES).toString("hex");
  const token = `${prefix}_${id}${secret}`;
  return { token, tokenHash: hashSecret(token) };
}

/** The id in a token; undefined for what has not the shape of one, however long it is. */
export function invitationIdOf(prefix: string, token: string): InvitationId | undefined {
  const idAt = prefix.length + 1;
  if (token.length !== idAt + ID_LENGTH + 2 * SECRET_BYTES || !token.startsWith(`${prefix}_`))
    return undefined;
  const id = token.slice(idAt, idAt + ID_LENGTH);
  return isId("inv", id) ? id : undefined;
}

/** Is it the token of the invitation? */
export function tokenMatches({ tokenHash }: Invitation, token: string): boolean {
  return hashesEqual(tokenHash, hashSecret(token));
}

/** An invitation as the audit shows it. */
export function auditedInvitation(invitation: Invitation): unknown {
  const { email, roles, keyKind, state, invitedBy, expiresAt } = invitation;
  return { email, roles, keyKind, status: state, invitedBy, expiresAt };
}

const SECRET_BYTES = 32;
const ID_LENGTH = "inv_".length + 20;
