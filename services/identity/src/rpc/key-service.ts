import type { Principal } from "@gatehouse/access";
import { KeyService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import { type ChangedKey, disableKey, enableKey, revokeKey } from "../domain/change-key-status.ts";
import { createKey } from "../domain/create-key.ts";
import type { Domain } from "../domain/domain.ts";
import { getKey, whoAmI } from "../domain/get.ts";
import { listKeys } from "../domain/list.ts";
import { keyStatusName, kindName, unixMs } from "./convert-in.ts";
import { keyMessage, reasonWithheld } from "./convert-out.ts";
import { neverStored } from "./never-stored.ts";
import { notYet } from "./not-yet.ts";

export function keyService(domain: Domain): Route<Principal> {
  return route<typeof KeyService, Principal>(KeyService, {
    updateKey: notYet,
    rotateKey: notYet,
    importKeys: notYet,
    reportLeak: notYet,
    async createKey(request, call) {
      const { account, parentKey, name, roles, scopes, labels, idempotencyKey } = request;
      const created = await createKey(domain, call.principal, {
        account,
        parentKey,
        kind: kindName(request.kind),
        name,
        roles,
        scopes,
        labels,
        notBeforeMs: unixMs(request.notBefore),
        expiresAtMs: unixMs(request.expiresAt),
        idempotencyKey,
      });
      neverStored(call);
      const { key, secret, freshness, replayed } = created;
      return { key: keyMessage(key), secret, freshness, replayed, secretWithheld: reasonWithheld(replayed) };
    },

    async getKey({ key }, call) {
      return { key: keyMessage(await getKey(domain, call.principal, key)) };
    },

    async listKeys(request, call) {
      const { account, labels, pageSize, pageToken } = request;
      const { items, nextPageToken } = await listKeys(domain, call.principal, {
        account,
        status: keyStatusName(request.status),
        kind: kindName(request.kind),
        labels,
        pageSize,
        pageToken,
      });
      return { keys: items.map(keyMessage), nextPageToken };
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

    async whoAmI(_request, call) {
      const { key, chain } = await whoAmI(domain, call.principal);
      const [{ id, slug, organizationId }] = chain;
      return {
        key: keyMessage(key),
        accountId: id,
        accountSlug: slug,
        organizationId: organizationId ?? "",
      };
    },
  });
}

function changedMessage({ key, freshness }: ChangedKey) {
  return { key: keyMessage(key), freshness };
}
