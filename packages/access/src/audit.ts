import type { Failure, Reason } from "@gatehouse/service/failure";
import type { Principal } from "./principal.ts";

/** What every service's audit is made of: who did, or tried to do, what to what. Never holds a secret, nor a hash of one. */
export interface AuditEvent {
  readonly id: string;
  readonly at: Date;
  /** Empty for who has no key yet: a person who accepts an invitation. */
  readonly actorKeyId: string;
  readonly actorAccountId: string;
  /** The scope that the attempt takes, such as `gatehouse.keys.create`. */
  readonly action: string;
  /** The id of what was changed; for a refused attempt, what the caller named, if it has the shape of a name. */
  readonly target: string;
  /** `OK`, or the reason of the refusal. */
  readonly outcome: string;
  readonly before: unknown;
  readonly after: unknown;
  /** The account that it concerns: the target's; for a refused attempt the actor's. Then those above, root first. */
  readonly accountPath: readonly string[];
}

/** What a key tries, before it is known how it ends. */
export interface AuditAttempt {
  readonly actor: Principal;
  readonly action: string;
  /** As the caller named it. */
  readonly target: string;
}

// A malformed request says nothing about anyone, and being busy or out of reach refuses nobody.
const NO_REFUSALS: readonly Reason[] = [
  "INVALID_FIELD",
  "BUSY",
  "OVERLOADED",
  "SOURCE_UNAVAILABLE",
  "INTERNAL",
];

/** Whether a failed attempt is one that the audit has. */
export function isRefusal({ reason }: Failure): boolean {
  return !NO_REFUSALS.includes(reason);
}

/** An action, or all of a kind: `gatehouse.keys.*`. */
export const AUDIT_ACTION = /^gatehouse(?:\.[a-z-]{1,40}){1,2}(?:\.\*)?$/;

/** What a caller asks for, as it was sent; empty where it said nothing. Times are Unix milliseconds. */
export interface EventFilter {
  readonly account: string;
  readonly descendants: boolean;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly sinceMs: number | undefined;
  readonly untilMs: number | undefined;
  readonly outcome: string;
}

/** What is read. */
export interface AuditFilter {
  /** Whose events, with its path from the root down. */
  readonly account: { readonly id: string; readonly path: readonly string[] };
  /** Those of the accounts below it too. */
  readonly descendants: boolean;
  /** The id of the key or account that acted. */
  readonly actor: string | undefined;
  /** Whether the actor belongs to the account or one below it: then all that it did concerns those. */
  readonly actorBelow: boolean;
  readonly action: string | undefined;
  /** What the action begins with. */
  readonly actionStart: string | undefined;
  readonly target: string | undefined;
  readonly since: Date | undefined;
  readonly until: Date | undefined;
  readonly outcome: string | undefined;
}

/** A place in the audit: events are in the order of their times, those of one time in that of their ids. */
export interface AuditPlace {
  readonly at: string;
  readonly id: string;
}

/** Where to read on, how much, and in which direction. */
export interface AuditStretch {
  readonly after: AuditPlace | undefined;
  readonly limit: number;
  readonly newestFirst: boolean;
}

export interface AuditPage {
  readonly events: readonly AuditEvent[];
  /** Where to go on; undefined at the end. There may be more after a page that has few events, or none. */
  readonly next: AuditPlace | undefined;
}

export interface AuditReads {
  placeOf(eventId: string): Promise<AuditPlace | undefined>;
  /** Reads a bounded stretch. */
  list(filter: AuditFilter, stretch: AuditStretch): Promise<AuditPage>;
}
