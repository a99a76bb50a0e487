import type { KeyNode } from "@gatehouse/access";
import type { Chain } from "../accounts/account.ts";

/** A credential, with all that its owner sees of it, and the hashes that nobody is shown. */
export interface Key extends KeyNode {
  readonly masked: string;
  /** Its secret was made elsewhere. */
  readonly imported: boolean;
  /** The member whose personal key it is; undefined for a service key. */
  readonly userId: string | undefined;
  /** How long it may be silent; undefined where that is nobody's business. */
  readonly heartbeatTimeoutMs: number | undefined;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A key with its parent key and its account's chain: what its state and reach are judged from. */
export interface KeyInTree {
  readonly key: Key;
  readonly parent: Key | undefined;
  readonly chain: Chain;
  /** To about a second; undefined where it never was, or nobody asked. */
  readonly lastUsedAt?: Date | undefined;
}

/** A key without what was valid until a time that has passed. */
export function withoutEnded(key: Key, nowMs: number): Key {
  const keys = key.signing?.keys.filter(({ untilMs }) => untilMs === undefined || nowMs < untilMs);
  return {
    ...key,
    retiringHashes: key.retiringHashes.filter(({ untilMs }) => nowMs < untilMs),
    signing: key.signing && { ...key.signing, keys: keys! },
  };
}
