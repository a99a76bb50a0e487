import type { KeyNode, Principal } from "@gatehouse/access";
import { compileGrant } from "@gatehouse/scopes";

/**
 * Who asks where nobody has to say who asks: sees everything, as a verifier of the provider does. It is no key, so no
 * use of it is noted, and nothing but the data plane's own RPCs is open to it.
 *
 * `rootId` says the provider's account; undefined as long as no key was read, when there is nothing to see either.
 */
export function openVerifier(rootId: () => string | undefined): Principal {
  const key: KeyNode = {
    id: OPEN,
    get accountId() {
      return rootId() ?? "";
    },
    parentKeyId: undefined,
    kind: "ACCOUNT",
    status: "ENABLED",
    name: "open",
    labels: {},
    secretHashes: [],
    retiringHashes: [],
    roles: [],
    scopes: [VERIFY],
    endpoints: [],
    ipAllow: [],
    ipDeny: [],
    deniedIntegrations: [],
    signing: undefined,
    notBeforeMs: undefined,
    expiresAtMs: undefined,
  };
  const grant = compileGrant({ roles: [], scopes: [VERIFY] });
  return { view: { key, parent: undefined, chain: [], grant }, grant };
}

/** In the place of a key's id. */
export const OPEN = "open";
/** The scope of the data plane's RPCs. */
export const VERIFY = "gatehouse.verify";
