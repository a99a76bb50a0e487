import type { Account, Chain } from "../accounts/account.ts";
import type { Page } from "../store.ts";
import type { Invitation, InvitationStatus } from "./invitation.ts";
import type { Member } from "./member.ts";

/** An invitation with its account's chain: what reach is judged from. */
export interface InvitationInTree {
  readonly invitation: Invitation;
  readonly chain: Chain;
}

export interface InvitationFilter {
  readonly accountId: string;
  readonly status: InvitationStatus | undefined;
  /** What waits and ends by then has expired. */
  readonly at: Date;
}

export interface InvitationReads {
  /** Reads the invitation and the chain of its account in one statement. */
  find(invitationId: string): Promise<InvitationInTree | undefined>;
  list(filter: InvitationFilter, page: Page): Promise<Invitation[]>;
}

export interface InvitationWrites extends InvitationReads {
  insert(invitation: Invitation): Promise<void>;
  /** Makes it final and forgets the hash of its token. */
  settle(invitationId: string, state: "ACCEPTED" | "REVOKED", at: Date): Promise<void>;
  /** Revokes all that a key made and that wait; answers how many. */
  revokeOf(keyId: string, at: Date): Promise<number>;
  /** Those of an account that can be accepted at a time. */
  countPending(accountId: string, at: Date): Promise<number>;
}

export interface MemberReads {
  find(accountId: string, userId: string): Promise<Member | undefined>;
  list(accountId: string, page: Page): Promise<Member[]>;
}

export interface MemberWrites extends MemberReads {
  /** The id of the person whom the subject names in the account's organization; one is made where there is none yet. */
  userOf(account: Account, subject: string, at: Date): Promise<string>;
  /** Inserts the membership, or puts it in the place of the one of its account and user. Its keys are not its. */
  put(member: Member): Promise<void>;
  /** Changes the roles of the membership and of all its personal keys that are not revoked. */
  setRoles(accountId: string, userId: string, roles: readonly string[], at: Date): Promise<void>;
  delete(accountId: string, userId: string): Promise<void>;
  /** `base`, or the first of `base 2`, `base 3`… that no living key of the account has, of so many tried. */
  freeKeyName(accountId: string, base: string, attempts: number): Promise<string | undefined>;
}
