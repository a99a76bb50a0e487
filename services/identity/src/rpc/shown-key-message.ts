import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { EffectiveAccessSchema, KeySchema } from "@gatehouse/proto/identity";
import type { EffectiveAccess } from "../domain/keys/effective-access.ts";
import type { ShownKey } from "../domain/keys/show-key.ts";
import { keyMessage } from "./convert-out.ts";

/** A key with what is shown beside it. */
export function shownKeyMessage(shown: ShownKey): MessageInitShape<typeof KeySchema> {
  const { key, endpointTitles, graceEndsAtMs, lastUsedAt, effective } = shown;
  return {
    ...keyMessage(key),
    endpoints: key.endpoints.map(({ name }, index) => ({ name, title: endpointTitles[index]! })),
    ...(graceEndsAtMs !== undefined && { graceEndsAt: timestampFromMs(graceEndsAtMs) }),
    ...(lastUsedAt !== undefined && { lastUsedAt: timestampFromDate(lastUsedAt) }),
    effective: effectiveMessage(effective),
  };
}

function effectiveMessage(effective: EffectiveAccess): MessageInitShape<typeof EffectiveAccessSchema> {
  const { scopes, addresses, notBeforeMs, expiresAtMs, state } = effective;
  return {
    scopes: scopes.map(({ nodeId, roles, scopes, endpointResources, type }) => ({
      nodeId,
      roles: roles.map(({ role, scopes }) => ({ role, scopes: [...scopes] })),
      scopes: [...scopes],
      endpointResources: [...endpointResources],
      type,
    })),
    addresses: addresses.map(({ keyId, ipAllow, ipDeny }) => ({
      keyId,
      ipAllow: [...ipAllow],
      ipDeny: [...ipDeny],
    })),
    ...(notBeforeMs !== undefined && { notBefore: timestampFromMs(notBeforeMs) }),
    ...(expiresAtMs !== undefined && { expiresAt: timestampFromMs(expiresAtMs) }),
    state,
  };
}
