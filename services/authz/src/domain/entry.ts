import {
  type AccountNode,
  type AccountStatus,
  effectiveGrant,
  type KeyNode,
  type KeyView,
  type ProviderRules,
} from "@gatehouse/access";
import type { Grant } from "@gatehouse/scopes";
import type { ChargePath } from "./charge-path.ts";

/**
 * An account as the cache keeps it: one object shared by every key below it, changed in place. So a change of
 * an account costs the same whether one key hangs below it or a million, and no key can be forgotten.
 */
export class AccountEntry implements AccountNode {
  readonly id: string;
  readonly parentId: string | undefined;
  readonly organizationId: string | undefined;
  slug: string;
  formerSlugs: readonly string[];
  status: AccountStatus;
  labels: Readonly<Record<string, string>>;
  type: string;
  scopeCeiling: readonly string[];
  isolated: boolean;
  roles: ReadonlyMap<string, readonly string[]>;
  acceptedTerms: ReadonlyMap<string, string>;
  plan: string;
  upstreamCredential: string;
  providerRules: ProviderRules | undefined;
  /** The revision that this state is true at, or later. */
  revision: number;
  /** The proof that was the newest begun when a bell cast doubt on this entry; -1 for none. */
  doubtedAtProof = -1;
  /** Keys in the cache that hang below it. */
  references = 0;

  constructor(node: AccountNode, revision: number) {
    this.id = node.id;
    this.parentId = node.parentId;
    this.organizationId = node.organizationId;
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

  /** Takes a state unless a newer one is here. Closed is final: nothing read late reopens an account. */
  update(node: AccountNode, revision: number): void {
    if (revision < this.revision || this.status === "CLOSED") return;
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

/**
 * A key as the cache keeps it. Its node never changes: a changed key gets a new entry and the old one is
 * `dead`, which its sub-keys, pointing at it as their parent, notice at their next use.
 */
export class KeyEntry {
  readonly view: KeyView;
  /** What the key and its parent key allow together. */
  readonly grant: Grant;
  readonly parent: KeyEntry | undefined;
  /** Own account first, root last. */
  readonly accounts: readonly AccountEntry[];
  readonly revision: number;
  /** Unix milliseconds. A hit never extends it. */
  readonly expiresAtMs: number;
  dead = false;
  doubtedAtProof = -1;
  /** What its latest call had to work out. */
  latestPath: ChargePath | undefined;

  constructor(
    key: KeyNode,
    parent: KeyEntry | undefined,
    accounts: readonly AccountEntry[],
    revision: number,
    expiresAtMs: number,
  ) {
    this.view = { key, parent: parent?.view.key, chain: accounts };
    this.grant = effectiveGrant(this.view);
    this.parent = parent;
    this.accounts = accounts;
    this.revision = revision;
    this.expiresAtMs = expiresAtMs;
  }

  get key(): KeyNode {
    return this.view.key;
  }
}

/** An account that was named, with its chain: itself first, root last. */
export class TargetEntry {
  readonly accounts: readonly AccountEntry[];
  readonly expiresAtMs: number;

  constructor(accounts: readonly AccountEntry[], expiresAtMs: number) {
    this.accounts = accounts;
    this.expiresAtMs = expiresAtMs;
  }
}
