import type { AccountStatus, AuditReads, KeyKind, KeyStatus } from "@gatehouse/access";
import type { Account, Chain } from "./accounts/account.ts";
import type { Definition, DefinitionKind } from "./definitions/definition.ts";
import type { AuditEvent } from "./events/audit.ts";
import type { DomainEvent } from "./events/event.ts";
import type { WebhookReads, WebhookWrites } from "./events/webhook-store.ts";
import type { ImportedReads, ImportedWrites } from "./keys/import-keys.ts";
import type { Key, KeyInTree } from "./keys/key.ts";
import type { Watches } from "./keys/watch-keys.ts";
import type { InvitationReads, InvitationWrites, MemberReads, MemberWrites } from "./members/member-store.ts";

/** What the rules need of a database. Reads outside a change see what is committed. */
export interface Store extends Reads {
  /**
   * Runs `work` in one transaction, commits it, and answers the freshness token of the commit (of the head,
   * where nothing changed). `work` may run more than once, so it has no effect outside `change`.
   */
  change<T>(work: (change: Change) => Promise<T>): Promise<Committed<T>>;
  /** Writes an event of its own, for an attempt that changed nothing. */
  recordRefusal(event: AuditEvent): Promise<void>;
}

export interface Committed<T> {
  readonly value: T;
  readonly freshness: string;
}

export interface Reads {
  readonly accounts: AccountReads;
  readonly keys: KeyReads;
  readonly imported: ImportedReads;
  readonly definitions: DefinitionReads;
  readonly members: MemberReads;
  readonly invitations: InvitationReads;
  readonly webhooks: WebhookReads;
  readonly auditEvents: AuditReads;
}

export interface Change {
  /**
   * Keeps what the ids name as it is until the commit: what is relied on stays unchanged, what is changed
   * nobody else relies on meanwhile. Called before reading any state that the change is decided by: once, and once
   * more for gates that whoever takes them takes last.
   */
  gate(gates: { reliedOn: readonly string[]; changed: readonly string[] }): Promise<void>;
  readonly accounts: AccountWrites;
  readonly keys: KeyWrites;
  readonly imported: ImportedWrites;
  readonly watches: Watches;
  readonly definitions: DefinitionWrites;
  readonly members: MemberWrites;
  readonly invitations: InvitationWrites;
  readonly replays: Replays;
  readonly webhooks: WebhookWrites;
  audit(event: AuditEvent): Promise<void>;
  /**
   * Tells those who listen of what no audited mutation says, such as a key that fell silent. What mutations say is
   * raised by `audit`.
   */
  raise(event: DomainEvent): Promise<void>;
}

/** An account by id or slug. Without an organization, slugs are the provider's: `org` or `org/sub`. */
export interface AccountName {
  readonly account: string;
  readonly organizationId: string | undefined;
}

/** Where a page begins, after an id, and how long it may be. */
export interface Page {
  readonly after: string;
  readonly limit: number;
}

export interface AccountFilter {
  readonly parent: Account;
  readonly descendants: boolean;
  readonly status: AccountStatus | undefined;
  readonly type: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface AccountReads {
  find(accountId: string): Promise<Chain | undefined>;
  /** The id behind each name, in order. */
  resolve(names: readonly AccountName[]): Promise<(string | undefined)[]>;
  list(filter: AccountFilter, page: Page): Promise<Account[]>;
  /** Is there any account, the root included? */
  any(): Promise<boolean>;
  /** Accounts below the account's organization, closed ones and what is below them not counted, and its enabled keys. */
  planUse(account: Account): Promise<{ accounts: number; keys: number; subKeys: number }>;
}

export interface AccountWrites extends AccountReads {
  /** Throws Failure SLUG_TAKEN. */
  insert(account: Account): Promise<void>;
  /** Writes what changed, and of a slug all but the reservation. */
  update(before: Account, after: Account): Promise<void>;
  /**
   * Throws Failure SLUG_TAKEN: also where another account had it before, where it is of the account that the space is
   * below, and where it is of one below the account. The gates of both are held, so no two find it free.
   */
  reserveSlug(space: string, slug: string, accountId: string): Promise<void>;
  /**
   * Takes an enabled type from all accounts strictly below one, and answers of how many. Decides nothing for followers,
   * who are not told. The account's gate is held.
   */
  disableTypeBelow(accountId: string, type: string, at: Date): Promise<number>;
  /** Accounts below an organization, closed ones and what is below them not counted. */
  countBelow(organizationId: string): Promise<number>;
  /** `base`, or the first free of `base-2`, `base-3`…; undefined where none of `attempts` is free. */
  freeSlug(space: string, base: string, attempts: number): Promise<string | undefined>;
}

export interface KeyFilter {
  readonly accountId: string;
  /** Undefined: all but revoked ones. */
  readonly status: KeyStatus | undefined;
  readonly kind: KeyKind | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Only keys neither used nor created since. */
  readonly unusedSince: Date | undefined;
}

export interface KeyReads {
  /** Reads the key, its parent key and its chain in one statement. */
  find(keyId: string): Promise<KeyInTree | undefined>;
  /** Each with its parent key and its last use, in one statement. */
  list(filter: KeyFilter, page: Page): Promise<Omit<KeyInTree, "chain">[]>;
}

export interface KeyCount {
  readonly living: number;
  readonly enabled: number;
}

export interface KeyWrites extends KeyReads {
  /** Throws Failure NAME_TAKEN. */
  insert(key: Key): Promise<void>;
  setStatus(keyId: string, status: "ENABLED" | "DISABLED", at: Date): Promise<void>;
  /** Revokes the key with its sub-keys and forgets what their credentials are checked with. */
  revoke(keyId: string, at: Date): Promise<void>;
  /** Notes that its owner is told of its leak; false where that was so after `since`, and then nothing is noted. */
  tellLeaked(keyId: string, at: Date, since: Date): Promise<boolean>;
  /** Writes all of a key that can change. Throws Failure NAME_TAKEN. */
  update(key: Key): Promise<void>;
  /** Does a master key of the account, or of one below it, that is not revoked have the role? */
  isMastersRole(accountId: string, role: string): Promise<boolean>;
  /** The keys of an account that are not revoked, and those of them that are enabled. */
  count(accountId: string): Promise<{ keys: KeyCount; subKeys: KeyCount }>;
}

export interface DefinitionReads {
  find<K extends DefinitionKind>(
    kind: K,
    accountId: string,
    name: string,
  ): Promise<Definition<K> | undefined>;
  /** All of a kind that an account lays down, by name. */
  list<K extends DefinitionKind>(kind: K, accountId: string): Promise<Definition<K>[]>;
}

export interface DefinitionWrites extends DefinitionReads {
  /** Inserts it, or puts it in the place of the one of its kind, account and name. */
  put<K extends DefinitionKind>(definition: Definition<K>): Promise<void>;
  delete(kind: DefinitionKind, accountId: string, name: string): Promise<void>;
  /** Does an organization have the plan? Is an account of the type, or has it enabled? */
  isInUse(kind: "plan" | "type", name: string): Promise<boolean>;
}

/** What names one create: the caller's account, the RPC, and the caller's own idempotency key. */
export interface ReplayName {
  readonly accountId: string;
  readonly rpc: string;
  readonly idempotencyKey: string;
}

/** What a create made, remembered so that its repetition makes nothing. */
export interface Replay {
  readonly digest: string;
  readonly accountId: string;
  readonly keyId: string;
  /** All keys, where it made more than one. */
  readonly keyIds?: readonly string[];
}

export interface Replays {
  /** What was remembered since a time. */
  find(name: ReplayName, since: Date): Promise<Replay | undefined>;
  /** Remembers, and forgets some of what is from before `since`. */
  remember(name: ReplayName, replay: Replay, at: Date, since: Date): Promise<void>;
}
