import type { KeyKind, KeyStatus } from "@gatehouse/access";
import { EntitySchema } from "typeorm";
import type { Key } from "../domain/key.ts";

/** A row of `key`, or the same as JSON, where times are text. */
export interface KeyRow {
  id: string;
  account_id: string;
  parent_key_id: string | null;
  kind: KeyKind;
  status: KeyStatus;
  name: string;
  masked: string;
  /** SHA-256 of each credential that is valid now; none once the key is revoked. */
  secret_hashes: string[];
  roles: string[];
  scopes: string[];
  labels: Readonly<Record<string, string>>;
  not_before: Date | string | null;
  expires_at: Date | string | null;
  created_at: Date | string;
  updated_at: Date | string;
}

export const keyRows = new EntitySchema<KeyRow>({
  name: "key",
  columns: {
    id: { type: "text", primary: true },
    account_id: { type: "text" },
    parent_key_id: { type: "text", nullable: true },
    kind: { type: "text" },
    status: { type: "text" },
    name: { type: "text" },
    masked: { type: "text" },
    secret_hashes: { type: "text", array: true },
    roles: { type: "text", array: true },
    scopes: { type: "text", array: true },
    labels: { type: "jsonb" },
    not_before: { type: "timestamptz", nullable: true },
    expires_at: { type: "timestamptz", nullable: true },
    created_at: { type: "timestamptz" },
    updated_at: { type: "timestamptz" },
  },
});

export function keyOf(row: KeyRow): Key {
  return {
    id: row.id,
    accountId: row.account_id,
    parentKeyId: row.parent_key_id ?? undefined,
    kind: row.kind,
    status: row.status,
    name: row.name,
    masked: row.masked,
    secretHashes: row.secret_hashes,
    roles: row.roles,
    scopes: row.scopes,
    labels: row.labels,
    notBeforeMs: row.not_before === null ? undefined : new Date(row.not_before).getTime(),
    expiresAtMs: row.expires_at === null ? undefined : new Date(row.expires_at).getTime(),
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  };
}

export function keyRow(key: Key): KeyRow {
  return {
    id: key.id,
    account_id: key.accountId,
    parent_key_id: key.parentKeyId ?? null,
    kind: key.kind,
    status: key.status,
    name: key.name,
    masked: key.masked,
    secret_hashes: [...key.secretHashes],
    roles: [...key.roles],
    scopes: [...key.scopes],
    labels: key.labels,
    not_before: key.notBeforeMs === undefined ? null : new Date(key.notBeforeMs),
    expires_at: key.expiresAtMs === undefined ? null : new Date(key.expiresAtMs),
    created_at: key.createdAt,
    updated_at: key.updatedAt,
  };
}
