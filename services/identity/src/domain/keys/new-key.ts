import type { EndpointNode, KeyKind } from "@gatehouse/access";
import { type KeyFormat, maskKey, mintId, type Sealer } from "@gatehouse/keys";
import type { Key } from "./key.ts";
import { mintVerification, type SigningWish } from "./signing.ts";

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
  const credential = { secretHashes: [hash], signing: undefined, masked: maskKey(presented) };
  return { key: { id: keyId, ...credential, ...said(wish, at) }, secret: presented };
}

/**
 * Mints a key whose requests are signed. It has no hashes, so nothing that could be presented is it; for an HMAC
 * `secret` is what to sign with.
 */
export function mintSigningKey(sealer: Sealer, wish: KeyWish, how: SigningWish, at: Date): NewKey {
  const keyId = mintId("key");
  const { value, secret } = mintVerification(sealer, keyId, how);
  const { algorithm, strictReplay } = how;
  const signing = {
    algorithm,
    strictReplay,
    strictSinceMs: undefined,
    keys: [{ value, untilMs: undefined }],
  };
  // Who signs names the key by its id.
  return { key: { id: keyId, secretHashes: [], signing, masked: keyId, ...said(wish, at) }, secret };
}

function said(wish: KeyWish, at: Date): Omit<Key, "id" | "secretHashes" | "signing" | "masked"> {
  const inheritsAll = wish.kind === "SUB" && wish.roles.length === 0 && wish.scopes.length === 0;
  return {
    accountId: wish.accountId,
    parentKeyId: wish.parentKeyId,
    kind: wish.kind,
    status: "ENABLED",
    name: wish.name,
    labels: wish.labels ?? {},
    retiringHashes: [],
    roles: wish.roles,
    scopes: inheritsAll ? ["**"] : wish.scopes,
    endpoints: wish.endpoints ?? [],
    ipAllow: wish.ipAllow ?? [],
    ipDeny: wish.ipDeny ?? [],
    deniedIntegrations: wish.deniedIntegrations ?? [],
    notBeforeMs: wish.notBeforeMs,
    expiresAtMs: wish.expiresAtMs,
    imported: false,
    userId: wish.userId,
    heartbeatTimeoutMs: wish.heartbeatTimeoutMs,
    createdAt: at,
    updatedAt: at,
  };
}
