import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AccountState, KeyState } from "@gatehouse/proto/identity";
import {
  AccountStatus as WireAccountStatus,
  KeyKind as WireKeyKind,
  KeyStatus as WireKeyStatus,
} from "@gatehouse/proto/identity";
import type { AccountNode, AccountStatus, KeyKind, KeyNode, KeyStatus } from "./node.ts";

/** Nodes to and from the messages of identity's feed. A state this version does not know stops the key. */

const keyKinds: readonly KeyKind[] = ["MASTER", "ACCOUNT", "SUB"];
const keyStatuses: readonly KeyStatus[] = ["ENABLED", "DISABLED", "REVOKED"];
const accountStatuses: readonly AccountStatus[] = ["ACTIVE", "SUSPENDED", "CLOSED"];

export function keyNode(state: KeyState): KeyNode {
  return {
    id: state.id,
    accountId: state.accountId,
    parentKeyId: state.parentKeyId || undefined,
    kind: keyKinds.find((kind) => WireKeyKind[kind] === state.kind) ?? "SUB",
    status: keyStatuses.find((status) => WireKeyStatus[status] === state.status) ?? "DISABLED",
    name: state.name,
    labels: state.labels,
    secretHashes: state.secretHashes,
    roles: state.roles,
    scopes: state.scopes,
    notBeforeMs: state.notBefore && timestampDate(state.notBefore).getTime(),
    expiresAtMs: state.expiresAt && timestampDate(state.expiresAt).getTime(),
  };
}

export function accountNode(state: AccountState): AccountNode {
  return {
    id: state.id,
    parentId: state.parentId || undefined,
    organizationId: state.organizationId || undefined,
    slug: state.slug,
    status: accountStatuses.find((status) => WireAccountStatus[status] === state.status) ?? "SUSPENDED",
    labels: state.labels,
  };
}

export function keyState(node: KeyNode): KeyState {
  return {
    $typeName: "gatehouse.identity.v1.KeyState",
    id: node.id,
    accountId: node.accountId,
    parentKeyId: node.parentKeyId ?? "",
    kind: WireKeyKind[node.kind],
    status: WireKeyStatus[node.status],
    name: node.name,
    labels: { ...node.labels },
    secretHashes: [...node.secretHashes],
    roles: [...node.roles],
    scopes: [...node.scopes],
    ...(node.notBeforeMs !== undefined && { notBefore: timestampFromMs(node.notBeforeMs) }),
    ...(node.expiresAtMs !== undefined && { expiresAt: timestampFromMs(node.expiresAtMs) }),
  };
}

export function accountState(node: AccountNode): AccountState {
  return {
    $typeName: "gatehouse.identity.v1.AccountState",
    id: node.id,
    parentId: node.parentId ?? "",
    organizationId: node.organizationId ?? "",
    slug: node.slug,
    status: WireAccountStatus[node.status],
    labels: { ...node.labels },
  };
}
