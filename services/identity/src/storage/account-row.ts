import type { AccountStatus, ProviderRules, TermsNode } from "@gatehouse/access";
import { EntitySchema } from "typeorm";
import {
  type Account,
  type Chain,
  type LeakPolicy,
  type Profile,
  rootOf,
} from "../domain/accounts/account.ts";

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
  suspended_by: string;
  /** Of an organization. Accounts below it have its plan, which is kept once. */
  plan: string;
  profile: Profile;
  type: string;
  scope_ceiling: string[];
  enabled_types: string[];
  former_slugs: string[];
  isolated: boolean;
  leak_policy: LeakPolicy | null;
  accepted_terms: { document: string; version: string; at: string; key_id: string }[];
  upstream_credential: string;
  import_prefixes: string[];
  /** What it lays down for its subtree, out of `definition`: kept by whoever writes there. */
  rules: Rules;
  labels: Readonly<Record<string, string>>;
  created_at: Date | string;
  updated_at: Date | string;
}

/** The definitions that decisions need. Only the root has types and terms. */
export interface Rules {
  readonly roles?: Readonly<Record<string, readonly string[]>>;
  readonly types?: Readonly<Record<string, readonly string[]>>;
  readonly terms?: readonly TermsNode[];
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
    suspended_by: { type: "text" },
    plan: { type: "text" },
    profile: { type: "jsonb" },
    type: { type: "text" },
    scope_ceiling: { type: "text", array: true },
    enabled_types: { type: "text", array: true },
    former_slugs: { type: "text", array: true },
    isolated: { type: "boolean" },
    leak_policy: { type: "text", nullable: true },
    accepted_terms: { type: "jsonb" },
    upstream_credential: { type: "text" },
    import_prefixes: { type: "text", array: true },
    rules: { type: "jsonb" },
    labels: { type: "jsonb" },
    created_at: { type: "timestamptz" },
    updated_at: { type: "timestamptz" },
  },
});

/** What a row says by itself: an account below an organization is given its plan by who reads the organization too. */
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
    suspendedBy: row.suspended_by,
    plan: isOrganization(row) ? row.plan : "",
    profile: row.profile,
    labels: row.labels,
    type: row.type,
    scopeCeiling: row.scope_ceiling,
    enabledTypes: row.enabled_types,
    formerSlugs: row.former_slugs,
    isolated: row.isolated,
    leakPolicy: row.leak_policy ?? undefined,
    terms: row.accepted_terms.map(({ document, version, at, key_id }) => ({
      document,
      version,
      at: new Date(at),
      keyId: key_id,
    })),
    acceptedTerms: new Map(row.accepted_terms.map(({ document, version }) => [document, version])),
    upstreamCredential: row.upstream_credential,
    roles: new Map(Object.entries(row.rules.roles ?? {})),
    providerRules: row.parent_id === null ? providerRulesOf(row) : undefined,
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
    suspended_by: account.suspendedBy,
    plan: organization ? account.plan : "",
    profile: account.profile,
    labels: account.labels,
    type: account.type,
    scope_ceiling: [...account.scopeCeiling],
    enabled_types: [...account.enabledTypes],
    former_slugs: [...account.formerSlugs],
    isolated: account.isolated,
    leak_policy: account.leakPolicy ?? null,
    accepted_terms: account.terms.map(({ document, version, at, keyId }) => ({
      document,
      version,
      at: at.toISOString(),
      key_id: keyId,
    })),
    upstream_credential: account.upstreamCredential,
    import_prefixes: [...(account.providerRules?.importPrefixes ?? [])],
    rules: {},
    created_at: account.createdAt,
    updated_at: account.updatedAt,
  };
}

function isOrganization({ id, organization_id }: AccountRow): boolean {
  return id === organization_id;
}

function providerRulesOf({ rules, import_prefixes }: AccountRow): ProviderRules {
  return {
    types: new Map(Object.entries(rules.types ?? {})),
    terms: rules.terms ?? [],
    importPrefixes: import_prefixes,
  };
}

/** Rows of one account and its ancestors, in any order, as a chain; undefined where there are none. */
export function chainOf(rows: readonly AccountRow[]): Chain | undefined {
  const plan = rows.find(isOrganization)?.plan ?? "";
  const [own, ...above] = rows
    .map((row) => ({ ...accountOf(row), plan: row.organization_id === null ? "" : plan }))
    .sort((left, right) => right.path.length - left.path.length);
  if (own === undefined) return undefined;
  const chain: Chain = [own, ...above];
  if (chain.length !== own.path.length || rootOf(chain).parentId !== undefined) {
    throw new Error(`the path of ${own.id} is broken`);
  }
  return chain;
}
