import type { KeyKind, SigningAlgorithm } from "@gatehouse/keys";
import type { Grant } from "@gatehouse/scopes";

/**
 * The nodes that decisions are made of, as every service knows them: identity from its tables, authz and
 * metering from the change feed. They carry no secrets, only hashes of 256-bit random ones, and what is sealed.
 *
 * What many keys share hangs on the account that lays it down: roles, ceilings, and on the root what the provider
 * lays down for everybody. So a change of it is the change of one node, whatever hangs below it.
 */

export type KeyStatus = "ENABLED" | "DISABLED" | "REVOKED";
export type AccountStatus = "ACTIVE" | "SUSPENDED" | "CLOSED";
export type { KeyKind, SigningAlgorithm };

/** An account. `parentId` and `organizationId` are absent for the root; `organizationId` of an organization is its own id. */
export interface AccountNode {
  readonly id: string;
  readonly parentId: string | undefined;
  readonly organizationId: string | undefined;
  readonly slug: string;
  /** They still name it. */
  readonly formerSlugs: readonly string[];
  readonly status: AccountStatus;
  readonly labels: Readonly<Record<string, string>>;
  /** The name of its type; empty for none. */
  readonly type: string;
  /** What no key of it or below can pass; empty for no ceiling of its own. */
  readonly scopeCeiling: readonly string[];
  /** Its keys reach only the account itself. */
  readonly isolated: boolean;
  /** The roles that it defines, by name. */
  readonly roles: ReadonlyMap<string, readonly string[]>;
  /** For an organization: the version that it has accepted of each document. */
  readonly acceptedTerms: ReadonlyMap<string, string>;
  /** An organization's plan; empty for the root. */
  readonly plan: string;
  /** The header to send upstream, sealed; empty for none. */
  readonly upstreamCredential: string;
  /** For the root: what the provider has laid down for everybody. */
  readonly providerRules: ProviderRules | undefined;
}

/** What holds for every account and key. */
export interface ProviderRules {
  /** The ceiling of each account type. */
  readonly types: ReadonlyMap<string, readonly string[]>;
  readonly terms: readonly TermsNode[];
  /** What imported keys begin with. */
  readonly importPrefixes: readonly string[];
}

/** Terms that every organization must accept. */
export interface TermsNode {
  readonly document: string;
  readonly version: string;
  /** Scopes: what is closed until then; empty for everything. */
  readonly gates: readonly string[];
}

/** A key. Times are Unix milliseconds; `secretHashes` are SHA-256, base64url, of each credential valid now. */
export interface KeyNode {
  readonly id: string;
  readonly accountId: string;
  readonly parentKeyId: string | undefined;
  readonly kind: KeyKind;
  readonly status: KeyStatus;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly secretHashes: readonly string[];
  /** Credentials that were rotated away and are in their grace. */
  readonly retiringHashes: readonly RetiringHash[];
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  /** The endpoints that it may call, and no others; empty for all. */
  readonly endpoints: readonly EndpointNode[];
  /** Canonical CIDR; empty for any. */
  readonly ipAllow: readonly string[];
  /** Canonical CIDR; they win. */
  readonly ipDeny: readonly string[];
  readonly deniedIntegrations: readonly string[];
  /** For a key whose requests are signed; it has no hashes. */
  readonly signing: SigningNode | undefined;
  readonly notBeforeMs: number | undefined;
  readonly expiresAtMs: number | undefined;
}

/** A credential in its grace: valid before `untilMs`. */
export interface RetiringHash {
  readonly hash: string;
  readonly untilMs: number;
}

/** An endpoint of the API catalog, and the resource that calling it takes. */
export interface EndpointNode {
  readonly name: string;
  readonly resource: string;
}

export interface SigningNode {
  readonly algorithm: SigningAlgorithm;
  /** Newest first: HMAC secrets sealed, Ed25519 public keys in base64. */
  readonly keys: readonly VerificationKey[];
  readonly strictReplay: boolean;
  /** When strict replay was turned on, in Unix milliseconds; undefined where it was from the start, or is off. */
  readonly strictSinceMs: number | undefined;
}

/** What signatures are checked with; valid before `untilMs`, where that is said. */
export interface VerificationKey {
  readonly value: string;
  readonly untilMs: number | undefined;
}

/** A key with all that it depends on: its parent key, and its account's chain, own account first, root last. */
export interface KeyView {
  readonly key: KeyNode;
  readonly parent: KeyNode | undefined;
  readonly chain: readonly AccountNode[];
  /** What all of it comes to, where whoever keeps the view keeps that too. */
  readonly grant?: Grant;
}

/** What the provider has laid down, wherever in the tree the chain begins. */
export function providerRulesOf(chain: readonly AccountNode[]): ProviderRules | undefined {
  return chain[chain.length - 1]?.providerRules;
}
