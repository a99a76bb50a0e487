import {
  type AccountNode,
  type AccountStatus,
  effectiveGrant,
  type KeyNode,
  type KeyView,
  type ProviderRules,
} from "@gatehouse/access";
import type { VerifyingKey } from "@gatehouse/keys";
import type { Grant } from "@gatehouse/scopes";
import { Cached } from "./s3-fifo.ts";
import type { OpenedCredential } from "./upstream-header.ts";

/**
 * An account as the cache keeps it: one object shared by every key below it, changed in place. So a change of
 * an account costs the same whether one key hangs below it or a million, and no key can be forgotten.
 */
export class AccountEntry implements AccountNode {
  readonly id: string;
  readonly parentId: string | undefined;
  readonly organizationId: string | undefined;
  slug!: string;
  formerSlugs!: readonly string[];
  status!: AccountStatus;
  labels!: Readonly<Record<string, string>>;
  type!: string;
  scopeCeiling!: readonly string[];
  isolated!: boolean;
  roles!: ReadonlyMap<string, readonly string[]>;
  acceptedTerms!: ReadonlyMap<string, string>;
  plan!: string;
  upstreamCredential!: string;
  providerRules!: ProviderRules | undefined;
  /** How often something changed that grants of keys below depend on. */
  grantChanges = 0;
  /** The revision that this state is true at, or later. */
  revision!: number;
  /** The proof that was the newest begun when a bell cast doubt on this entry; -1 for none. */
  doubtedAtProof = -1;
  /** Keys in the cache that hang below it. */
  references = 0;
  /** What it weighs, as its table keeps count. */
  bytes = 0;
  /** Itself first, root last, once its table was asked for that. */
  chain: readonly AccountEntry[] | undefined;
  /** What its upstream credential was opened to, once it was needed. */
  upstream: OpenedCredential | undefined;

  constructor(node: AccountNode, revision: number) {
    this.id = node.id;
    this.parentId = node.parentId;
    this.organizationId = node.organizationId;
    this.#take(node, revision);
  }

  /** Takes a state unless a newer one is here. Closed is final: nothing read late reopens an account. */
  update(node: AccountNode, revision: number): void {
    if (revision < this.revision || this.status === "CLOSED") return;
    if (!grantsAlike(this, node)) this.grantChanges++;
    this.#take(node, revision);
  }

  #take(node: AccountNode, revision: number): void {
    this.slug = node.slug;
    this.formerSlugs = node.formerSlugs;
    this.status = node.status;
    this.labels = node.labels;
    this.type = node.type;
    this.scopeCeiling = node.scopeCeiling;
    this.isolated = node.isolated;
    this.roles = node.roles;
    this.acceptedTerms = node.acceptedTerms;
    this.plan = node.plan;
    this.upstreamCredential = node.upstreamCredential;
    this.providerRules = node.providerRules;
    this.revision = revision;
  }
}

/** As long as this is the same, so is what accounts have a say in of the grants of keys below them. */
export function grantChangesOf(chain: readonly AccountEntry[]): number {
  let changes = 0;
  for (const account of chain) changes += account.grantChanges;
  return changes;
}

/**
 * A key as the cache keeps it. Its node never changes: a changed key gets a new entry and the old one is
 * `dead`, which its sub-keys, pointing at it as their parent, notice at their next use.
 */
export class KeyEntry extends Cached implements KeyView {
  readonly key: KeyNode;
  readonly parentEntry: KeyEntry | undefined;
  /** Own account first, root last. */
  readonly accounts: readonly AccountEntry[];
  readonly revision: number;
  /** On the cache's own clock. A hit never extends it. */
  readonly expiresAtMs: number;
  dead = false;
  doubtedAtProof = -1;
  /** Where it was found by that: its imported credential, current or in its grace. */
  importedHash: string | undefined;
  /** What its signatures are checked with, opened once they were needed; undefined for what does not open. */
  verifying: readonly (VerifyingKey | undefined)[] | undefined;
  /** When it was last used, in Unix milliseconds, and the round of reports that this was first noted in. */
  usedAtMs = 0;
  usedInRound = 0;
  #grant: Grant | undefined;
  #grantAsOf = 0;

  constructor(
    key: KeyNode,
    parentEntry: KeyEntry | undefined,
    accounts: readonly AccountEntry[],
    revision: number,
    expiresAtMs: number,
  ) {
    super();
    this.key = key;
    this.parentEntry = parentEntry;
    this.accounts = accounts;
    this.revision = revision;
    this.expiresAtMs = expiresAtMs;
  }

  get name(): string {
    return this.key.id;
  }

  get parent(): KeyNode | undefined {
    return this.parentEntry?.key;
  }

  get chain(): readonly AccountEntry[] {
    return this.accounts;
  }

  /** What the key allows, with all that it depends on, as that is now. Kept: the guard asks for it at every call. */
  get grant(): Grant {
    const asOf = grantChangesOf(this.accounts);
    if (this.#grant === undefined || this.#grantAsOf !== asOf) {
      const { key, parent, chain } = this;
      this.#grant = effectiveGrant({ key, parent, chain });
      this.#grantAsOf = asOf;
    }
    return this.#grant;
  }
}

/** The entry that a view is of, where it is of one. */
export function entryOf(view: KeyView): KeyEntry | undefined {
  return view instanceof KeyEntry ? view : undefined;
}

/** Has a bell named the entry, or anything it depends on, since the proof numbered `proof` was begun? */
export function isDoubted(entry: KeyEntry, target: readonly AccountEntry[], proof: number): boolean {
  if (entry.doubtedAtProof >= proof) return true;
  if (entry.parentEntry !== undefined && entry.parentEntry.doubtedAtProof >= proof) return true;
  for (const account of entry.accounts) if (account.doubtedAtProof >= proof) return true;
  if (target !== entry.accounts)
    for (const account of target) if (account.doubtedAtProof >= proof) return true;
  return false;
}

/** An account that was named, with its chain: itself first, root last. */
export class TargetEntry extends Cached {
  readonly name: string;
  readonly accounts: readonly AccountEntry[];
  readonly expiresAtMs: number;

  constructor(name: string, accounts: readonly AccountEntry[], expiresAtMs: number) {
    super();
    this.name = name;
    this.accounts = accounts;
    this.expiresAtMs = expiresAtMs;
  }
}

// Worked out on changes and fills only.
function grantsAlike(a: AccountNode, b: AccountNode): boolean {
  return (
    a.type === b.type &&
    sameLists(a.scopeCeiling, b.scopeCeiling) &&
    sameMaps(a.roles, b.roles) &&
    sameMaps(a.providerRules?.types, b.providerRules?.types)
  );
}

type Lists = ReadonlyMap<string, readonly string[]> | undefined;

function sameMaps(a: Lists, b: Lists): boolean {
  if ((a?.size ?? 0) !== (b?.size ?? 0)) return false;
  for (const [name, list] of a ?? []) {
    const other = b?.get(name);
    if (other === undefined || !sameLists(list, other)) return false;
  }
  return true;
}

function sameLists(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
