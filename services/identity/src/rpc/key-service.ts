import type { Principal } from "@gatehouse/access";
import { type CreateKeyRequest, KeyService, type UpdateKeyRequest } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Domain } from "../domain/domain.ts";
import { getKey, whoAmI } from "../domain/get.ts";
import { type ChangedKey, disableKey, enableKey, revokeKey } from "../domain/keys/change-key-status.ts";
import { createKey } from "../domain/keys/create-key.ts";
import { importKeys } from "../domain/keys/import-keys.ts";
import type { AskedOfKey } from "../domain/keys/key-fields.ts";
import { reportLeak } from "../domain/keys/report-leak.ts";
import { rotateKey } from "../domain/keys/rotate-key.ts";
import { updateKey } from "../domain/keys/update-key.ts";
import { listKeys } from "../domain/list.ts";
import { algorithmName, durationMs, keyStatusName, kindName, unixMs } from "./convert-in.ts";
import { keyMessage, leakActionOf, reasonWithheld } from "./convert-out.ts";
import { neverStored } from "./never-stored.ts";
import { shownKeyMessage } from "./shown-key-message.ts";

export function keyService(domain: Domain): Route<Principal> {
  return route<typeof KeyService, Principal>(KeyService, {
    async createKey(request, call) {
      const { account, parentKey, signing, idempotencyKey } = request;
      const created = await createKey(domain, call.principal, {
        ...askedOfKey(request),
        account,
        parentKey,
        kind: kindName(request.kind),
        signing: signing && {
          algorithm: algorithmName(signing.algorithm),
          publicKey: signing.publicKey,
          strictReplay: signing.strictReplay,
        },
        idempotencyKey,
      });
      neverStored(call);
      const { shown, secret, freshness, replayed } = created;
      // The public half of a pair was all that there ever was to answer.
      const secretWithheld = reasonWithheld(replayed && shown.key.signing?.algorithm !== "ED25519");
      return { key: shownKeyMessage(shown), secret, freshness, replayed, secretWithheld };
    },

    async updateKey(request, call) {
      return changedMessage(
        await updateKey(domain, call.principal, {
          ...askedOfKey(request),
          key: request.key,
          strictReplay: request.strictReplay,
          updateMask: request.updateMask?.paths ?? [],
        }),
      );
    },

    async rotateKey({ key, grace, publicKey }, call) {
      const request = { key, graceMs: durationMs(grace), publicKey };
      const { shown, secret, freshness } = await rotateKey(domain, call.principal, request);
      neverStored(call);
      return { key: shownKeyMessage(shown), secret, freshness };
    },

    async getKey({ key }, call) {
      return { key: shownKeyMessage(await getKey(domain, call.principal, key)) };
    },

    async listKeys(request, call) {
      const { account, labels, pageSize, pageToken } = request;
      const { items, nextPageToken } = await listKeys(domain, call.principal, {
        account,
        status: keyStatusName(request.status),
        kind: kindName(request.kind),
        labels,
        unusedSinceMs: unixMs(request.unusedSince),
        pageSize,
        pageToken,
      });
      return { keys: items.map(shownKeyMessage), nextPageToken };
    },

    async disableKey({ key }, call) {
      return changedMessage(await disableKey(domain, call.principal, key));
    },

    async enableKey({ key }, call) {
      return changedMessage(await enableKey(domain, call.principal, key));
    },

    async revokeKey({ key }, call) {
      return changedMessage(await revokeKey(domain, call.principal, key));
    },

    async importKeys({ account, keys, idempotencyKey }, call) {
      const imported = await importKeys(domain, call.principal, {
        account,
        keys: keys.map(({ hash, prefix, start, name, kind, roles, scopes, labels, expiresAt }) => ({
          hash,
          prefix,
          start,
          name,
          kind: kindName(kind),
          roles,
          scopes,
          labels,
          expiresAtMs: unixMs(expiresAt),
        })),
        idempotencyKey,
      });
      const { freshness, replayed } = imported;
      return { keys: imported.keys.map(keyMessage), freshness, replayed };
    },

    async reportLeak({ secrets, source }, call) {
      const { reports, freshness } = await reportLeak(domain, call.principal, { secrets, source });
      return {
        reports: reports.map(({ keyId, policy }) => ({ keyId: keyId ?? "", action: leakActionOf(policy) })),
        freshness,
      };
    },

    async whoAmI(_request, call) {
      const { shown, account } = await whoAmI(domain, call.principal);
      return {
        key: shownKeyMessage(shown),
        accountId: account.id,
        accountSlug: account.slug,
        organizationId: account.organizationId ?? "",
      };
    },
  });
}

/** What creates and updates say alike. */
function askedOfKey(request: CreateKeyRequest | UpdateKeyRequest): AskedOfKey {
  const { name, roles, scopes, labels, endpoints, ipAllow, ipDeny, deniedIntegrations } = request;
  return {
    name,
    roles,
    scopes,
    labels,
    endpoints,
    ipAllow,
    ipDeny,
    deniedIntegrations,
    notBeforeMs: unixMs(request.notBefore),
    expiresAtMs: unixMs(request.expiresAt),
    requireHeartbeat: request.requireHeartbeat,
    heartbeatTimeoutMs: durationMs(request.heartbeatTimeout),
  };
}

function changedMessage({ shown, freshness }: ChangedKey) {
  return { key: shownKeyMessage(shown), freshness };
}
