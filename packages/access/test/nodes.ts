import type { AccountNode, KeyNode, KeyView } from "../src/index.ts";

/** Nodes that are alive and may do nothing; tests say what is different. */

export const root = accountOf({ id: "acc_root", parentId: undefined, organizationId: undefined });
export const organization = accountOf({ id: "acc_org", parentId: "acc_root" });
export const subaccount = accountOf({ id: "acc_sub", parentId: "acc_org" });

export function accountOf(node: Partial<AccountNode>): AccountNode {
  return {
    id: "acc_org",
    parentId: "acc_root",
    organizationId: "acc_org",
    slug: "acme",
    formerSlugs: [],
    status: "ACTIVE",
    labels: {},
    type: "",
    scopeCeiling: [],
    isolated: false,
    roles: new Map(),
    acceptedTerms: new Map(),
    plan: "",
    upstreamCredential: "",
    providerRules: undefined,
    ...node,
  };
}

export function keyOf(node: Partial<KeyNode> = {}): KeyNode {
  return {
    id: "key_1",
    accountId: "acc_org",
    parentKeyId: undefined,
    kind: "ACCOUNT",
    status: "ENABLED",
    name: "key",
    labels: {},
    secretHashes: [],
    retiringHashes: [],
    roles: [],
    scopes: [],
    endpoints: [],
    ipAllow: [],
    ipDeny: [],
    deniedIntegrations: [],
    signing: undefined,
    notBeforeMs: undefined,
    expiresAtMs: undefined,
    ...node,
  };
}

export function viewOf(view: Partial<KeyView> = {}): KeyView {
  return { key: keyOf(), parent: undefined, chain: [organization, root], ...view };
}
