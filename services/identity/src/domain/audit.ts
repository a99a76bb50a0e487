import type { Principal } from "@gatehouse/access";
import { mintId } from "@gatehouse/keys";
import { Failure, type Reason } from "@gatehouse/service/failure";
import type { Account } from "./account.ts";
import type { Domain } from "./domain.ts";
import type { Key } from "./key.ts";

/** Who did, or tried to do, what to what. Never holds a secret, nor a hash of one. */
export interface AuditEvent {
  readonly id: string;
  readonly at: Date;
  readonly actorKeyId: string;
  readonly actorAccountId: string;
  /** The scope that the attempt takes, such as `gatehouse.keys.create`. */
  readonly action: string;
  /** The id of what was changed; for a refused attempt, what the caller named. */
  readonly target: string;
  /** `OK`, or the reason of the refusal. */
  readonly outcome: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** What an attempt is, before it is known how it ends. */
export interface Attempt {
  readonly actor: Principal;
  readonly action: string;
  /** As the caller named it. */
  readonly target: string;
}

/** The event of a change that is made. */
export function done(
  attempt: Attempt,
  at: Date,
  change: { target: string; before?: unknown; after: unknown },
): AuditEvent {
  return { ...eventOf(attempt, at), outcome: "OK", before: null, ...change };
}

/** Runs an attempt; where it is refused, the refusal is on record before the caller hears of it. */
export async function audited<T>(domain: Domain, attempt: Attempt, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof Failure && isRefusal(error)) await recordRefusal(domain, attempt, error);
    throw error;
  }
}

/** Puts a refusal on record. It stands as a refusal where that fails too. */
export async function recordRefusal(domain: Domain, attempt: Attempt, refusal: Failure): Promise<void> {
  const event = eventOf(attempt, new Date(domain.nowMs()));
  const refused = { ...event, outcome: refusal.reason, before: null, after: null };
  await domain.store.recordRefusal(refused).catch(() => {});
}

/** An account as the audit shows it. */
export function auditedAccount(account: Account): unknown {
  const { slug, name, status, suspensionReason, plan, profile, labels, parentId } = account;
  return { parentId, slug, name, status, suspensionReason, plan, profile, labels };
}

/** A key as the audit shows it. */
export function auditedKey(key: Key): unknown {
  const { secretHashes: _, id: __, createdAt: ___, updatedAt: ____, ...shown } = key;
  return shown;
}

function eventOf({ actor, action, target }: Attempt, at: Date) {
  const { key } = actor.view;
  return { id: mintId("evt"), at, actorKeyId: key.id, actorAccountId: key.accountId, action, target };
}

// A malformed request says nothing about anyone, and being busy or out of reach refuses nobody.
const NO_REFUSALS: readonly Reason[] = [
  "INVALID_FIELD",
  "BUSY",
  "OVERLOADED",
  "SOURCE_UNAVAILABLE",
  "INTERNAL",
];

function isRefusal({ reason }: Failure): boolean {
  return !NO_REFUSALS.includes(reason);
}
