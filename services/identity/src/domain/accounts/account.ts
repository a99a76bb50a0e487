import type { AccountNode } from "@gatehouse/access";

/** Who stands behind an account. */
export const PROFILE_FIELDS = ["company", "vat", "country", "address", "city", "state", "zipCode"] as const;
export type ProfileField = (typeof PROFILE_FIELDS)[number];
export type Profile = Readonly<Partial<Record<ProfileField, string>>>;

export const LEAK_POLICIES = ["DISABLE", "REVOKE", "NOTIFY"] as const;
export type LeakPolicy = (typeof LEAK_POLICIES)[number];

/** Terms that an organization has accepted. */
export interface AcceptedTerms {
  readonly document: string;
  readonly version: string;
  readonly at: Date;
  readonly keyId: string;
}

/** A node of the tree, with all that its owner sees of it. */
export interface Account extends AccountNode {
  /** The ids from the root down to this account. An account never moves, so neither does its path. */
  readonly path: readonly string[];
  readonly name: string;
  readonly suspensionReason: string;
  /** The account whose key suspended it; empty where it is not, or where that was not kept yet. */
  readonly suspendedBy: string;
  readonly profile: Profile;
  /** The types that are enabled for its subtree, besides the open ones and those of the accounts above. */
  readonly enabledTypes: readonly string[];
  /** What happens to leaked keys; undefined for what the account above says. */
  readonly leakPolicy: LeakPolicy | undefined;
  /** The terms that the organization has accepted. */
  readonly terms: readonly AcceptedTerms[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What a new account has of everything that is set later. */
export const NOTHING_SET = {
  formerSlugs: [],
  suspendedBy: "",
  type: "",
  scopeCeiling: [],
  enabledTypes: [],
  isolated: false,
  leakPolicy: undefined,
  terms: [],
  acceptedTerms: new Map<string, string>(),
  upstreamCredential: "",
  roles: new Map<string, readonly string[]>(),
  providerRules: undefined,
} as const satisfies Partial<Account>;

/** An account and its ancestors: own account first, root last; never empty. */
export type Chain = readonly [Account, ...Account[]];

/** The account at the root of the tree, which every chain ends with. */
export function rootOf(chain: Chain): Account {
  return chain[chain.length - 1]!;
}

/** Where the slugs of an account's children must differ: among the organizations, or in the organization. */
export function slugSpaceBelow(parent: Account): string {
  return parent.organizationId ?? parent.id;
}
