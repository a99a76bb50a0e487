import { KeyFormatError } from "./key-format-error.ts";

/** Who a key acts for: a subtree, its own account, or its parent key. */
export type KeyKind = "MASTER" | "ACCOUNT" | "SUB";

export const DEFAULT_PREFIX = "gth";

/** Characters of the kind within a key. */
export const WIRE_KIND_LENGTH = 3;

/** `acc` for ACCOUNT. */
export function wireOfKind(kind: KeyKind): string {
  return WIRE_KINDS[kind];
}

/** ACCOUNT for `acc`; undefined for what is no kind. */
export function kindOfWire(wire: string): KeyKind | undefined {
  return KINDS.get(wire);
}

/** Throws `KeyFormatError` unless the prefix is `[a-z][a-z0-9]{1,11}`. */
export function checkPrefix(prefix: string): void {
  if (prefix.length > 12 || !/^[a-z][a-z0-9]+$/.test(prefix)) {
    throw new KeyFormatError("key prefix must be 2 to 12 of a-z and 0-9, the first a letter");
  }
}

const WIRE_KINDS = { MASTER: "mst", ACCOUNT: "acc", SUB: "sub" } as const satisfies Record<KeyKind, string>;

const KINDS: ReadonlyMap<string, KeyKind> = new Map(
  (Object.keys(WIRE_KINDS) as KeyKind[]).map((kind) => [WIRE_KINDS[kind], kind]),
);
