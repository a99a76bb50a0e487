import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@gatehouse/proto/common";
import {
  type AccountSchema,
  type KeySchema,
  LeakPolicy,
  AccountStatus as WireAccountStatus,
  KeyKind as WireKeyKind,
  KeyStatus as WireKeyStatus,
} from "@gatehouse/proto/identity";
import type { Account } from "../domain/account.ts";
import type { Key } from "../domain/key.ts";

export function accountMessage(account: Account): MessageInitShape<typeof AccountSchema> {
  return {
    id: account.id,
    parentId: account.parentId ?? "",
    organizationId: account.organizationId ?? "",
    slug: account.slug,
    name: account.name,
    status: WireAccountStatus[account.status],
    suspensionReason: account.suspensionReason,
    plan: account.plan,
    type: account.type,
    scopeCeiling: [...account.scopeCeiling],
    enabledTypes: [...account.enabledTypes],
    formerSlugs: [...account.formerSlugs],
    settings: {
      leakPolicy: account.leakPolicy === undefined ? LeakPolicy.UNSPECIFIED : LeakPolicy[account.leakPolicy],
      isolated: account.isolated,
      importPrefixes: [...(account.providerRules?.importPrefixes ?? [])],
    },
    acceptedTerms: account.terms.map(({ document, version, at, keyId }) => ({
      document,
      version,
      acceptedAt: timestampFromDate(at),
      keyId,
    })),
    hasUpstreamCredential: account.upstreamCredential !== "",
    profile: account.profile,
    labels: { ...account.labels },
    createdAt: timestampFromDate(account.createdAt),
    updatedAt: timestampFromDate(account.updatedAt),
  };
}

/** A key without its hashes. */
export function keyMessage(key: Key): MessageInitShape<typeof KeySchema> {
  return {
    id: key.id,
    accountId: key.accountId,
    parentKeyId: key.parentKeyId ?? "",
    kind: WireKeyKind[key.kind],
    name: key.name,
    status: WireKeyStatus[key.status],
    masked: key.masked,
    roles: [...key.roles],
    scopes: [...key.scopes],
    labels: { ...key.labels },
    ...(key.notBeforeMs !== undefined && { notBefore: timestampFromMs(key.notBeforeMs) }),
    ...(key.expiresAtMs !== undefined && { expiresAt: timestampFromMs(key.expiresAtMs) }),
    createdAt: timestampFromDate(key.createdAt),
    updatedAt: timestampFromDate(key.updatedAt),
  };
}

/** Why a create's answer has no secret: a secret is shown once, and a replayed answer is the second time. */
export function reasonWithheld(replayed: boolean): ErrorReason {
  return replayed ? ErrorReason.SECRET_NOT_REPLAYABLE : ErrorReason.UNSPECIFIED;
}
