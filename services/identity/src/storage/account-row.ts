import type { AccountStatus } from "@gatehouse/access";
import { EntitySchema } from "typeorm";
import { type Account, type Chain, type Profile, rootOf } from "../domain/account.ts";

/** A row of `account`, or the same as JSON, where times are text. */
export interface AccountRow {
  id: string;
  parent_id: string | null;
  organization_id: string | null;
  path: string[];
  /** Within it slugs differ: the root's id for organizations, the organization's for what is below. */
  slug_space: string;
  slug: string;
  name: string;
  status: AccountStatus;
  suspension_reason: string;
  plan: string;
  profile: Profile;
  labels: Readonly<Record<string, string>>;
  created_at: Date | string;
  updated_at: Date | string;
}

export const accountRows = new EntitySchema<AccountRow>({
  name: "account",
  columns: {
    id: { type: "text", primary: true },
    parent_id: { type: "text", nullable: true },
    organization_id: { type: "text", nullable: true },
    path: { type: "text", array: true },
    slug_space: { type: "text" },
    slug: { type: "text" },
    name: { type: "text" },
    status: { type: "text" },
    suspension_reason: { type: "text" },
    plan: { type: "text" },
    profile: { type: "jsonb" },
    labels: { type: "jsonb" },
    created_at: { type: "timestamptz" },
    updated_at: { type: "timestamptz" },
  },
});

export function accountOf(row: AccountRow): Account {
  return {
    id: row.id,
    parentId: row.parent_id ?? undefined,
    organizationId: row.organization_id ?? undefined,
    path: row.path,
    slug: row.slug,
    name: row.name,
    status: row.status,
    suspensionReason: row.suspension_reason,
    plan: row.plan,
    profile: row.profile,
    labels: row.labels,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  };
}

export function accountRow(account: Account): AccountRow {
  const organization = account.organizationId === account.id;
  return {
    id: account.id,
    parent_id: account.parentId ?? null,
    organization_id: account.organizationId ?? null,
    path: [...account.path],
    slug_space: (organization ? account.parentId : account.organizationId) ?? "",
    slug: account.slug,
    name: account.name,
    status: account.status,
    suspension_reason: account.suspensionReason,
    plan: account.plan,
    profile: account.profile,
    labels: account.labels,
    created_at: account.createdAt,
    updated_at: account.updatedAt,
  };
}

/** Rows of one account and its ancestors, in any order, as a chain; undefined where there are none. */
export function chainOf(rows: readonly AccountRow[]): Chain | undefined {
  const [own, ...above] = rows.map(accountOf).sort((left, right) => right.path.length - left.path.length);
  if (own === undefined) return undefined;
  const chain: Chain = [own, ...above];
  if (chain.length !== own.path.length || rootOf(chain).parentId !== undefined) {
    throw new Error(`the path of ${own.id} is broken`);
  }
  return chain;
}
