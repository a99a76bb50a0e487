import { create, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type AccountState,
  AccountStateSchema,
  type ApiState,
  type KeyState,
  KeyStateSchema,
  type SigningState,
  AccountStatus as WireAccountStatus,
  KeyKind as WireKeyKind,
  KeyStatus as WireKeyStatus,
  type ProviderRules as WireProviderRules,
  SigningAlgorithm as WireSigningAlgorithm,
} from "@gatehouse/proto/identity";
import type { ApiNode } from "./catalog.ts";
import type {
  AccountNode,
  AccountStatus,
  EndpointNode,
  KeyKind,
  KeyNode,
  KeyStatus,
  ProviderRules,
  RetiringHash,
  SigningAlgorithm,
  SigningNode,
} from "./node.ts";
import { sharedList, sharedText } from "./shared.ts";

/** Nodes to and from the messages of identity's feed. A state this version does not know stops the key. */

const keyKinds: readonly KeyKind[] = ["MASTER", "ACCOUNT", "SUB"];
const keyStatuses: readonly KeyStatus[] = ["ENABLED", "DISABLED", "REVOKED"];
const accountStatuses: readonly AccountStatus[] = ["ACTIVE", "SUSPENDED", "CLOSED"];
const algorithms: readonly SigningAlgorithm[] = ["HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512", "ED25519"];

// Most nodes have nothing in most lists, and there may be a million of them.
const NONE: readonly never[] = Object.freeze([]);
const NO_ENTRIES: ReadonlyMap<string, never> = new Map<string, never>();
const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});

export function keyNode(state: KeyState): KeyNode {
  return {
    id: state.id,
    accountId: sharedText(state.accountId),
    parentKeyId: state.parentKeyId || undefined,
    kind: keyKinds.find((kind) => WireKeyKind[kind] === state.kind) ?? "SUB",
    status: keyStatuses.find((status) => WireKeyStatus[status] === state.status) ?? "DISABLED",
    name: state.name,
    labels: labelsOf(state.labels),
    secretHashes: listOf(state.secretHashes, (hash) => hash),
    retiringHashes: listOf(
      state.retiringHashes,
      ({ hash, expiresAt }): RetiringHash => ({
        hash,
        untilMs: unixMs(expiresAt) ?? 0,
      }),
    ),
    roles: sharedList(state.roles),
    scopes: sharedList(state.scopes),
    endpoints: sharedList(
      listOf(state.endpoints, ({ name, resource }): EndpointNode => ({ name, resource })),
    ),
    ipAllow: sharedList(state.ipAllow),
    ipDeny: sharedList(state.ipDeny),
    deniedIntegrations: sharedList(state.deniedIntegrations),
    signing: state.signing && signingNode(state.signing),
    notBeforeMs: unixMs(state.notBefore),
    expiresAtMs: unixMs(state.expiresAt),
  };
}

export function accountNode(state: AccountState): AccountNode {
  return {
    id: state.id,
    parentId: state.parentId || undefined,
    organizationId: state.organizationId || undefined,
    slug: state.slug,
    formerSlugs: listOf(state.formerSlugs, (slug) => slug),
    status: accountStatuses.find((status) => WireAccountStatus[status] === state.status) ?? "SUSPENDED",
    labels: state.labels,
    type: state.type,
    scopeCeiling: listOf(state.scopeCeiling, (scope) => scope),
    isolated: state.isolated,
    roles: mapOf(state.roles, ({ name, scopes }) => [name, scopes]),
    acceptedTerms: mapOf(state.acceptedTerms, ({ document, version }) => [document, version]),
    plan: state.plan,
    upstreamCredential: state.upstreamCredential,
    providerRules: state.providerRules && providerRules(state.providerRules),
  };
}

export function keyState(node: KeyNode): KeyState {
  return create(KeyStateSchema, {
    id: node.id,
    accountId: node.accountId,
    parentKeyId: node.parentKeyId ?? "",
    kind: WireKeyKind[node.kind],
    status: WireKeyStatus[node.status],
    name: node.name,
    labels: { ...node.labels },
    secretHashes: [...node.secretHashes],
    retiringHashes: node.retiringHashes.map(({ hash, untilMs }) => ({
      hash,
      expiresAt: timestampFromMs(untilMs),
    })),
    roles: [...node.roles],
    scopes: [...node.scopes],
    endpoints: node.endpoints.map(({ name, resource }) => ({ name, resource })),
    ipAllow: [...node.ipAllow],
    ipDeny: [...node.ipDeny],
    deniedIntegrations: [...node.deniedIntegrations],
    ...(node.signing !== undefined && { signing: signingState(node.signing) }),
    ...(node.notBeforeMs !== undefined && { notBefore: timestampFromMs(node.notBeforeMs) }),
    ...(node.expiresAtMs !== undefined && { expiresAt: timestampFromMs(node.expiresAtMs) }),
  });
}

export function accountState(node: AccountNode): AccountState {
  return create(AccountStateSchema, {
    id: node.id,
    parentId: node.parentId ?? "",
    organizationId: node.organizationId ?? "",
    slug: node.slug,
    formerSlugs: [...node.formerSlugs],
    status: WireAccountStatus[node.status],
    labels: { ...node.labels },
    type: node.type,
    scopeCeiling: [...node.scopeCeiling],
    isolated: node.isolated,
    roles: [...node.roles].map(([name, scopes]) => ({ name, scopes: [...scopes] })),
    acceptedTerms: [...node.acceptedTerms].map(([document, version]) => ({ document, version })),
    plan: node.plan,
    upstreamCredential: node.upstreamCredential,
    ...(node.providerRules !== undefined && { providerRules: providerRulesState(node.providerRules) }),
  });
}

export function apiNode({ name, endpoints }: ApiState): ApiNode {
  return {
    name,
    endpoints: endpoints.map(({ name, method, path, resource }) => ({ name, method, path, resource })),
  };
}

/** A key as a database keeps it: the feed's message in JSON, so that what nodes come to have needs no column. */
export function keyJson(node: KeyNode): JsonValue {
  return toJson(KeyStateSchema, keyState(node));
}

/** Fields that this version does not know, because a newer one wrote them, are passed over. */
export function keyOfJson(json: JsonValue): KeyNode {
  return keyNode(fromJson(KeyStateSchema, json, { ignoreUnknownFields: true }));
}

/** As `keyJson`. */
export function accountJson(node: AccountNode): JsonValue {
  return toJson(AccountStateSchema, accountState(node));
}

/** As `keyOfJson`. */
export function accountOfJson(json: JsonValue): AccountNode {
  return accountNode(fromJson(AccountStateSchema, json, { ignoreUnknownFields: true }));
}

function signingNode({ algorithm, keys, strictReplay, strictSince }: SigningState): SigningNode {
  const known = algorithms.find((each) => WireSigningAlgorithm[each] === algorithm);
  return {
    // Without keys no signature holds, which is what an algorithm that this version does not know comes to.
    algorithm: known ?? "ED25519",
    keys:
      known === undefined
        ? NONE
        : keys.map(({ value, expiresAt }) => ({ value, untilMs: unixMs(expiresAt) })),
    strictReplay,
    strictSinceMs: unixMs(strictSince),
  };
}

function signingState({ algorithm, keys, strictReplay, strictSinceMs }: SigningNode) {
  return {
    algorithm: WireSigningAlgorithm[algorithm],
    keys: keys.map(({ value, untilMs }) => ({
      value,
      ...(untilMs !== undefined && { expiresAt: timestampFromMs(untilMs) }),
    })),
    strictReplay,
    ...(strictSinceMs !== undefined && { strictSince: timestampFromMs(strictSinceMs) }),
  };
}

function providerRules({ types, terms, importPrefixes }: WireProviderRules): ProviderRules {
  return {
    types: mapOf(types, ({ name, scopeCeiling }) => [name, scopeCeiling]),
    terms: terms.map(({ document, version, gates }) => ({ document, version, gates })),
    importPrefixes,
  };
}

function providerRulesState({ types, terms, importPrefixes }: ProviderRules) {
  return {
    types: [...types].map(([name, scopeCeiling]) => ({ name, scopeCeiling: [...scopeCeiling] })),
    terms: terms.map(({ document, version, gates }) => ({ document, version, gates: [...gates] })),
    importPrefixes: [...importPrefixes],
  };
}

function labelsOf(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const _ in labels) return labels;
  return NO_LABELS;
}

// As long as what is in it: a list that grew while it was decoded has room for more.
function listOf<T, R>(list: readonly T[], convert: (item: T) => R): readonly R[] {
  return list.length === 0 ? NONE : list.map(convert);
}

function mapOf<T, V>(list: readonly T[], entry: (item: T) => [string, V]): ReadonlyMap<string, V> {
  return list.length === 0 ? NO_ENTRIES : new Map(list.map(entry));
}

function unixMs(timestamp: Timestamp | undefined): number | undefined {
  return timestamp && timestampDate(timestamp).getTime();
}
