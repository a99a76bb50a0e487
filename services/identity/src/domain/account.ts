import type { AccountNode } from "@gatehouse/access";

/** Who stands behind an account. */
export const PROFILE_FIELDS = ["company", "vat", "country", "address", "city", "state", "zipCode"] as const;
export type ProfileField = (typeof PROFILE_FIELDS)[number];
export type Profile = Readonly<Partial<Record<ProfileField, string>>>;

/** A node of the tree, with all that its owner sees of it. */
export interface Account extends AccountNode {
  /** The ids from the root down to this account. An account never moves, so neither does its path. */
  readonly path: readonly string[];
  readonly name: string;
  readonly suspensionReason: string;
  /** The organization's plan; empty for the root, which has none. */
  readonly plan: string;
  readonly profile: Profile;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

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
