import type {
  EndpointNode,
  KeyKind,
  KeyStatus,
  RetiringHash,
  SigningAlgorithm,
  SigningNode,
} from "@gatehouse/access";
import { EntitySchema } from "typeorm";
import type { Key } from "../domain/keys/key.ts";

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
  /** Credentials in their grace, as decisions use them. */
  retiring_hashes: RetiringHash[];
  endpoints: EndpointNode[];
  ip_allow: string[];
  ip_deny: string[];
  denied_integrations: string[];
  /** HMAC secrets are sealed. */
  signing: SigningRow | null;
  heartbeat_timeout_ms: number | null;
  user_id: string | null;
  imported: boolean;
  created_at: Date | string;
  updated_at: Date | string;
}

/** How requests are signed; times as decisions use them, and none where there is none. */
export interface SigningRow {
  readonly algorithm: SigningAlgorithm;
  readonly keys: readonly { readonly value: string; readonly untilMs?: number }[];
  readonly strictReplay: boolean;
  readonly strictSinceMs?: number;
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
    retiring_hashes: { type: "jsonb" },
    endpoints: { type: "jsonb" },
    ip_allow: { type: "text", array: true },
    ip_deny: { type: "text", array: true },
    denied_integrations: { type: "text", array: true },
    signing: { type: "jsonb", nullable: true },
    heartbeat_timeout_ms: { type: "integer", nullable: true },
    user_id: { type: "text", nullable: true },
    imported: { type: "boolean" },
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
    retiringHashes: row.retiring_hashes,
    endpoints: row.endpoints,
    ipAllow: row.ip_allow,
    ipDeny: row.ip_deny,
    deniedIntegrations: row.denied_integrations,
    signing: row.signing === null ? undefined : signingOf(row.signing),
    heartbeatTimeoutMs: row.heartbeat_timeout_ms ?? undefined,
    userId: row.user_id ?? undefined,
    imported: row.imported,
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
    retiring_hashes: [...key.retiringHashes],
    endpoints: [...key.endpoints],
    ip_allow: [...key.ipAllow],
    ip_deny: [...key.ipDeny],
    denied_integrations: [...key.deniedIntegrations],
    signing: key.signing === undefined ? null : signingRow(key.signing),
    heartbeat_timeout_ms: key.heartbeatTimeoutMs ?? null,
    user_id: key.userId ?? null,
    imported: key.imported,
    created_at: key.createdAt,
    updated_at: key.updatedAt,
  };
}

function signingOf({ algorithm, keys, strictReplay, strictSinceMs }: SigningRow): SigningNode {
  return {
    algorithm,
    keys: keys.map(({ value, untilMs }) => ({ value, untilMs })),
    strictReplay,
    strictSinceMs,
  };
}

function signingRow({ algorithm, keys, strictReplay, strictSinceMs }: SigningNode): SigningRow {
  return {
    algorithm,
    keys: keys.map(({ value, untilMs }) => (untilMs === undefined ? { value } : { value, untilMs })),
    strictReplay,
    ...(strictSinceMs !== undefined && { strictSinceMs }),
  };
}
