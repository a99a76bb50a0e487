import type { EndpointNode, KeyKind } from "@gatehouse/access";
import { type KeyFormat, maskKey } from "@gatehouse/keys";
import type { Key } from "./key.ts";

/** What a new key is to be, before it has an id and a secret. */
export interface KeyWish {
  readonly accountId: string;
  readonly parentKeyId?: string | undefined;
  readonly kind: KeyKind;
  readonly name: string;
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly notBeforeMs?: number | undefined;
  readonly expiresAtMs?: number | undefined;
  readonly endpoints?: readonly EndpointNode[];
  readonly ipAllow?: readonly string[];
  readonly ipDeny?: readonly string[];
  readonly deniedIntegrations?: readonly string[];
  readonly heartbeatTimeoutMs?: number | undefined;
  readonly userId?: string | undefined;
}

/** A key and the only copy of its credential. */
export interface NewKey {
  readonly key: Key;
  readonly secret: string;
}

/** Mints a key. A sub-key given neither roles nor scopes gets all that its parent has. */
export function mintKey(format: KeyFormat, wish: KeyWish, at: Date): NewKey {
  const { keyId, presented, hash } = format.mint(wish.kind);
  const inheritsAll = wish.kind === "SUB" && wish.roles.length === 0 && wish.scopes.length === 0;
  const key: Key = {
    id: keyId,
    accountId: wish.accountId,
    parentKeyId: wish.parentKeyId,
    kind: wish.kind,
    status: "ENABLED",
    name: wish.name,
    labels: wish.labels ?? {},
    secretHashes: [hash],
    retiringHashes: [],
    roles: wish.roles,
    scopes: inheritsAll ? ["**"] : wish.scopes,
    endpoints: wish.endpoints ?? [],
    ipAllow: wish.ipAllow ?? [],
    ipDeny: wish.ipDeny ?? [],
    deniedIntegrations: wish.deniedIntegrations ?? [],
    signing: undefined,
    notBeforeMs: wish.notBeforeMs,
    expiresAtMs: wish.expiresAtMs,
    masked: maskKey(presented),
    imported: false,
    userId: wish.userId,
    heartbeatTimeoutMs: wish.heartbeatTimeoutMs,
    createdAt: at,
    updatedAt: at,
  };
  return { key, secret: presented };
}
