import { hashesEqual, hashSecret, type KeyFormat } from "@gatehouse/keys";
import type { Grant } from "@gatehouse/scopes";
import { type CredentialReason, type Failure, unauthenticated } from "@gatehouse/service/failure";
import { effectiveGrant } from "./grant.ts";
import type { KeyView } from "./node.ts";
import { type KeyState, stateOf } from "./state.ts";

/** Finds a key with its parent key and account chain. Answers at once where it is known in memory. */
export interface Directory {
  /**
   * A key that is known in memory and may answer as it is; undefined for all others. Where it answers, a
   * presented key is compared with the stored hash alone, which is cheaper than its tag.
   */
  warm?(keyId: string): KeyView | undefined;
  /** Undefined: no such key. Throws Failure SOURCE_UNAVAILABLE where that cannot be known now. */
  findKey(keyId: string): KeyView | undefined | Promise<KeyView | undefined>;
  /** Finds an imported key by the hash of what was presented; undefined for what begins like none. Throws as findKey. */
  findImported?(presented: string): KeyView | undefined | Promise<KeyView | undefined>;
}

/** Who is calling: a living key. */
export interface Principal {
  readonly view: KeyView;
  readonly grant: Grant;
  /** The hash of what was presented. Undefined where nothing was: where it is asked what a key would be let do. */
  readonly presentedHash?: string | undefined;
}

/**
 * The principal behind a presented key.
 * Throws Failure UNAUTHENTICATED: the same for unknown, mistyped and revoked keys.
 */
export function authenticate(
  presented: string,
  format: KeyFormat,
  directory: Directory,
  nowMs: () => number,
): Principal | Promise<Principal> {
  const parsed = format.parse(presented);
  if (parsed === undefined) return admitLater(directory.findImported?.(presented), presented, nowMs);
  const warm = directory.warm?.(parsed.keyId);
  if (warm !== undefined) return admit(warm, presented, nowMs());
  // Before the look-up: mistyped and forged keys cost no I/O.
  if (!format.authentic(presented)) throw refused("NOT_FOUND");
  return admitLater(directory.findKey(parsed.keyId), presented, nowMs);
}

/**
 * The principal that a key is whose holder was known by other means than its secret, such as a certificate.
 * Throws Failure UNAUTHENTICATED as `authenticate` does.
 */
export function authenticateById(
  keyId: string,
  directory: Directory,
  nowMs: () => number,
): Principal | Promise<Principal> {
  const warm = directory.warm?.(keyId);
  if (warm !== undefined) return principalOf(warm, nowMs());
  const found = directory.findKey(keyId);
  return found instanceof Promise
    ? found.then((view) => principalOf(view, nowMs()))
    : principalOf(found, nowMs());
}

/** Is `presented` one of the credentials that are valid for the key now? */
export function secretMatches(view: KeyView, presented: string, nowMs: number): boolean {
  return isCredential(view, hashSecret(presented), nowMs);
}

/** Is it the hash of one of the credentials that are valid for the key now? */
export function isCredential({ key }: KeyView, hash: string, nowMs: number): boolean {
  if (key.secretHashes.some((valid) => hashesEqual(valid, hash))) return true;
  return key.retiringHashes.some(({ hash: valid, untilMs }) => nowMs < untilMs && hashesEqual(valid, hash));
}

/** The principal that a key is, undefined if it is gone. Throws Failure UNAUTHENTICATED where it does not work now. */
export function principalOf(
  view: KeyView | undefined,
  nowMs: number,
  presentedHash?: string | undefined,
): Principal {
  if (view === undefined) throw refused("NOT_FOUND");
  const state = stateOf(view, nowMs);
  if (state !== "VALID") throw refused(state);
  return { view, grant: view.grant ?? effectiveGrant(view), presentedHash };
}

function admitLater(
  found: KeyView | undefined | Promise<KeyView | undefined>,
  presented: string,
  nowMs: () => number,
): Principal | Promise<Principal> {
  return found instanceof Promise
    ? found.then((view) => admit(view, presented, nowMs()))
    : admit(found, presented, nowMs());
}

function admit(view: KeyView | undefined, presented: string, nowMs: number): Principal {
  if (view === undefined) throw refused("NOT_FOUND");
  const hash = hashSecret(presented);
  if (!isCredential(view, hash, nowMs)) throw refused("NOT_FOUND");
  return principalOf(view, nowMs, hash);
}

function refused(state: Exclude<KeyState, "VALID">): Failure {
  return unauthenticated(refusals[state]);
}

const refusals = {
  NOT_FOUND: "CREDENTIAL_INVALID",
  DISABLED: "KEY_DISABLED",
  NOT_YET_VALID: "KEY_NOT_YET_VALID",
  EXPIRED: "KEY_EXPIRED",
  ACCOUNT_SUSPENDED: "ACCOUNT_SUSPENDED",
  ACCOUNT_CLOSED: "ACCOUNT_CLOSED",
} as const satisfies Record<Exclude<KeyState, "VALID">, CredentialReason>;
