import { randomBytes } from "node:crypto";
import type { KeyKind } from "@gatehouse/access";
import {
  hashesEqual,
  hashSecret,
  type InvitationId,
  isId,
  type KeyFormat,
  TAGGED_LENGTH,
} from "@gatehouse/keys";
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
 * `gth_inv_`, the 20 characters of the invitation's id, 256 random bits in hexadecimal, and a tag as keys have: anybody
 * may present one, so a forged one must not cost a look-up. The id finds the invitation by its primary key, so what is
 * compared is one hash, in constant time.
 */
export function mintToken(format: KeyFormat, id: InvitationId): { token: string; tokenHash: string } {
  const secret = randomBytes(SECRET_BYTES).toString("hex");
  const token = format.tagged(`${format.prefix}_${id}${secret}`);
  return { token, tokenHash: hashSecret(token) };
}

/** The id in a token; undefined for what was not minted here, however long it is. */
export function invitationIdOf(format: KeyFormat, token: string): InvitationId | undefined {
  const idAt = format.prefix.length + 1;
  const length = idAt + ID_LENGTH + 2 * SECRET_BYTES + TAGGED_LENGTH;
  if (token.length !== length || !token.startsWith(`${format.prefix}_`)) return undefined;
  const id = token.slice(idAt, idAt + ID_LENGTH);
  return isId("inv", id) && format.isTagged(token) ? id : undefined;
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
