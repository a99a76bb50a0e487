import type { Account } from "../accounts/account.ts";
import type { AuditEvent } from "./audit.ts";

export interface AuditFilter {
  /** Whose events. */
  readonly account: Account;
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
