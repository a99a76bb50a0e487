import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { SigningNode } from "@gatehouse/access";
import { ErrorReason } from "@gatehouse/proto/common";
import {
  type AccountSchema,
  type GetPlanUsageResponseSchema,
  type KeySchema,
  LeakAction,
  LeakPolicy,
  SigningAlgorithm,
  AccountStatus as WireAccountStatus,
  KeyKind as WireKeyKind,
  KeyStatus as WireKeyStatus,
} from "@gatehouse/proto/identity";
import type { Account, LeakPolicy as DomainLeakPolicy } from "../domain/accounts/account.ts";
import type { PlanCount, PlanUsage } from "../domain/accounts/get-plan-usage.ts";
import type { Key } from "../domain/keys/key.ts";

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

export function planUsageMessage(usage: PlanUsage): MessageInitShape<typeof GetPlanUsageResponseSchema> {
  const { plan, accounts, keys, subKeys, depth } = usage;
  return {
    plan,
    ...(accounts && { accounts: planCount(accounts) }),
    keys: planCount(keys),
    subKeys: planCount(subKeys),
    depth: planCount(depth),
  };
}

function planCount({ used, maximum }: PlanCount) {
  return { used: BigInt(used), maximum: BigInt(maximum) };
}

/** What a key says of itself, without its hashes and what its signatures are checked with. */
export function keyMessage(key: Key) {
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
    endpoints: key.endpoints.map(({ name }) => ({ name })),
    ipAllow: [...key.ipAllow],
    ipDeny: [...key.ipDeny],
    deniedIntegrations: [...key.deniedIntegrations],
    ...(key.signing !== undefined && { signing: signingMessage(key.signing) }),
    requireHeartbeat: key.heartbeatTimeoutMs !== undefined,
    ...(key.heartbeatTimeoutMs !== undefined && { heartbeatTimeout: durationFromMs(key.heartbeatTimeoutMs) }),
    userId: key.userId ?? "",
    imported: key.imported,
    labels: { ...key.labels },
    ...(key.notBeforeMs !== undefined && { notBefore: timestampFromMs(key.notBeforeMs) }),
    ...(key.expiresAtMs !== undefined && { expiresAt: timestampFromMs(key.expiresAtMs) }),
    createdAt: timestampFromDate(key.createdAt),
    updatedAt: timestampFromDate(key.updatedAt),
  } satisfies MessageInitShape<typeof KeySchema>;
}

function signingMessage({ algorithm, keys, strictReplay }: SigningNode) {
  const publicKey = algorithm === "ED25519" ? (keys[0]?.value ?? "") : "";
  return { algorithm: SigningAlgorithm[algorithm], publicKey, strictReplay };
}

/** What was done about a leaked credential: what the policy says. */
export function leakActionOf(policy: DomainLeakPolicy | undefined): LeakAction {
  switch (policy) {
    case "DISABLE":
      return LeakAction.DISABLED;
    case "REVOKE":
      return LeakAction.REVOKED;
    case "NOTIFY":
      return LeakAction.NOTIFIED;
    case undefined:
      return LeakAction.UNSPECIFIED;
  }
}

/** Why a create's answer has no secret: a secret is shown once, and a replayed answer is the second time. */
export function reasonWithheld(replayed: boolean): ErrorReason {
  return replayed ? ErrorReason.SECRET_NOT_REPLAYABLE : ErrorReason.UNSPECIFIED;
}
