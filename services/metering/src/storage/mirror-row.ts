import type { AccountNode, KeyNode } from "@gatehouse/access";

/** Rows of the mirror. Timestamps of keys are kept as Unix milliseconds, as decisions use them. */
export interface AccountRow {
  readonly id: string;
  readonly parent_id: string | null;
  readonly organization_id: string | null;
  readonly slug: string;
  readonly status: AccountNode["status"];
  readonly labels: Record<string, string>;
}

export interface KeyRow {
  readonly id: string;
  readonly account_id: string;
  readonly parent_key_id: string | null;
  readonly kind: KeyNode["kind"];
  readonly status: KeyNode["status"];
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly secret_hashes: string[];
  readonly roles: string[];
  readonly scopes: string[];
  readonly not_before_ms: string | number | null;
  readonly expires_at_ms: string | number | null;
}

export function accountOf(row: AccountRow): AccountNode {
  return {
    id: row.id,
    parentId: row.parent_id ?? undefined,
    organizationId: row.organization_id ?? undefined,
    slug: row.slug,
    status: row.status,
    labels: row.labels,
  };
}

export function keyOf(row: KeyRow): KeyNode {
  return {
    id: row.id,
    accountId: row.account_id,
    parentKeyId: row.parent_key_id ?? undefined,
    kind: row.kind,
    status: row.status,
    name: row.name,
    labels: row.labels,
    secretHashes: row.secret_hashes,
    roles: row.roles,
    scopes: row.scopes,
    notBeforeMs: row.not_before_ms === null ? undefined : Number(row.not_before_ms),
    expiresAtMs: row.expires_at_ms === null ? undefined : Number(row.expires_at_ms),
  };
}

export function accountRow(node: AccountNode) {
  return {
    id: node.id,
    parent_id: node.parentId ?? null,
    organization_id: node.organizationId ?? null,
    slug: node.slug,
    status: node.status,
    labels: node.labels,
  };
}

export function keyRow(node: KeyNode) {
  return {
    id: node.id,
    account_id: node.accountId,
    parent_key_id: node.parentKeyId ?? null,
    kind: node.kind,
    status: node.status,
    name: node.name,
    labels: node.labels,
    secret_hashes: node.secretHashes,
    roles: node.roles,
    scopes: node.scopes,
    not_before_ms: node.notBeforeMs ?? null,
    expires_at_ms: node.expiresAtMs ?? null,
  };
}
