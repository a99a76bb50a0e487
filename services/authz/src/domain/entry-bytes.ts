import type { AccountNode, EndpointNode, KeyNode } from "@gatehouse/access";

/**
 * What entries weigh in memory, estimated from their nodes: so that a cache of large ones is held to bytes, not to a
 * number that was meant for small ones. Measured on Node 26 by the heap's growth over thousands of equal entries, each
 * with what its node compiles to once it is used.
 */

/** So that one with a hash has the 0.7 kB that each of a million was measured at in use, with limits that it has none of. */
const KEY_BYTES = 600;
const ACCOUNT_BYTES = 700;
/** An account that was named, with its array of the chain. */
export const TARGET_BYTES = 300;
/** The header of a string, its rounding, and the pointer to it. */
const STRING_BYTES = 40;
/** An object or a map's slot around one or two strings. */
const PAIR_BYTES = 48;
/** What a scope compiles to. */
const SCOPE_BYTES = 300;
/** What holds together what a list compiles to, and finds it. */
const COMPILED_BYTES = 700;

/** Bytes of a key, without the accounts and the lists of scopes and endpoints that it shares. */
export function bytesOfKey(key: KeyNode): number {
  const { roles, labels, ipAllow, ipDeny, deniedIntegrations, retiringHashes } = key;
  let bytes = KEY_BYTES + bytesOfPairs(labels);
  for (const list of [roles, ipAllow, ipDeny, deniedIntegrations, key.secretHashes])
    bytes += bytesOfList(list);
  // Of each address, what it is compared as.
  bytes += (ipAllow.length + ipDeny.length) * PAIR_BYTES;
  for (const { hash } of retiringHashes) bytes += bytesOf(hash) + PAIR_BYTES;
  for (const { value } of key.signing?.keys ?? []) bytes += bytesOf(value) + PAIR_BYTES;
  return bytes;
}

/** Bytes of a list of scopes, with what that compiles to. */
export function bytesOfScopeList(scopes: readonly string[]): number {
  return scopes.length === 0 ? 0 : COMPILED_BYTES + bytesOfScopes(scopes);
}

/** As `bytesOfScopeList`, of the endpoints that a key is held to. */
export function bytesOfEndpoints(endpoints: readonly EndpointNode[]): number {
  if (endpoints.length === 0) return 0;
  let bytes = COMPILED_BYTES;
  for (const { name, resource } of endpoints)
    bytes += bytesOf(name) + bytesOf(resource) + PAIR_BYTES + SCOPE_BYTES;
  return bytes;
}

/** Bytes of an account, which all keys below it share. */
export function bytesOfAccount(account: AccountNode): number {
  const { labels, formerSlugs, scopeCeiling, roles, acceptedTerms, upstreamCredential, providerRules } =
    account;
  let bytes = ACCOUNT_BYTES + bytesOfPairs(labels) + bytesOfList(formerSlugs) + bytesOfScopes(scopeCeiling);
  bytes += upstreamCredential.length;
  for (const [name, scopes] of roles) bytes += bytesOf(name) + PAIR_BYTES + bytesOfScopes(scopes);
  for (const [document, version] of acceptedTerms) bytes += bytesOf(document) + bytesOf(version) + PAIR_BYTES;
  if (providerRules !== undefined) {
    const { types, terms, importPrefixes } = providerRules;
    bytes += bytesOfList(importPrefixes);
    for (const [name, scopes] of types) bytes += bytesOf(name) + PAIR_BYTES + bytesOfScopes(scopes);
    for (const { document, version, gates } of terms)
      bytes += bytesOf(document) + bytesOf(version) + PAIR_BYTES + bytesOfScopes(gates);
  }
  return bytes;
}

function bytesOfPairs(pairs: Readonly<Record<string, string>>): number {
  let bytes = 0;
  for (const name in pairs) bytes += bytesOf(name) + bytesOf(pairs[name]!);
  return bytes;
}

function bytesOfScopes(scopes: readonly string[]): number {
  return bytesOfList(scopes) + scopes.length * SCOPE_BYTES;
}

function bytesOfList(list: readonly string[]): number {
  let bytes = 0;
  for (const text of list) bytes += bytesOf(text);
  return bytes;
}

// A byte each: what is not Latin takes two, and is rare.
function bytesOf(text: string): number {
  return text.length + STRING_BYTES;
}
