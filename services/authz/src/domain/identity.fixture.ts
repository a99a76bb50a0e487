import type { AccountNode, KeyNode } from "@gatehouse/access";
import type { IdentityChange } from "./identity-replica.ts";
import type { ResolvedHashes, ResolvedKeys, ResolvedTarget } from "./resolved.ts";

/** identity as the cache's tests need it: what it holds now, its log, and its answers, each true at one position. */
export class FakeIdentity {
  incarnation = "one";
  readonly keys = new Map<string, KeyNode>();
  readonly accounts = new Map<string, AccountNode>();
  readonly log: IdentityChange[] = [];

  constructor() {
    this.putAccount("acc_root", { parentId: undefined, organizationId: undefined });
    this.putAccount("acc_org", {});
  }

  get position() {
    return { incarnation: this.incarnation, revision: this.log.length };
  }

  changesAfter(revision: number): IdentityChange[] {
    return this.log.slice(revision);
  }

  putKey(id: string, node: Partial<KeyNode> = {}): void {
    const key = { ...newKey, ...this.keys.get(id), ...node, id };
    this.keys.set(id, key);
    this.log.push({ revision: this.log.length + 1, key });
  }

  putAccount(id: string, node: Partial<AccountNode> = {}): void {
    const account = { ...newAccount, ...this.accounts.get(id), ...node, id };
    this.accounts.set(id, account);
    this.log.push({ revision: this.log.length + 1, account });
  }

  resolveKeys(keyIds: readonly string[]): ResolvedKeys {
    const ids = keyIds.flatMap((id) => [id, this.keys.get(id)?.parentKeyId ?? id]);
    const keys = new Map([...this.keys].filter(([id]) => ids.includes(id)));
    return { position: this.position, keys, accounts: new Map(this.accounts) };
  }

  resolveHashes(hashes: readonly string[]): ResolvedHashes {
    const found = [...this.keys.values()].flatMap(({ id, secretHashes }): [string, string][] =>
      hashes.includes(secretHashes[0]!) ? [[secretHashes[0]!, id]] : [],
    );
    return { ...this.resolveKeys(found.map(([, id]) => id)), keyIds: new Map(found) };
  }

  /** Ids, and slugs in the organization, of the organization itself before a subaccount. */
  resolveTarget(organizationId: string, name: string): ResolvedTarget {
    const named = [...this.accounts.values()].filter(
      ({ id, slug, formerSlugs, organizationId: of }) =>
        id === name || (of === organizationId && [slug, ...formerSlugs].includes(name)),
    );
    const accountId = (named.find(({ id }) => id === organizationId) ?? named[0])?.id;
    return { position: this.position, accountId, accounts: new Map(this.accounts) };
  }

  keyOf(node: Partial<KeyNode>): KeyNode {
    return { ...newKey, ...node };
  }
}

const newKey: KeyNode = {
  id: "",
  accountId: "acc_org",
  parentKeyId: undefined,
  kind: "ACCOUNT",
  status: "ENABLED",
  name: "key",
  labels: {},
  secretHashes: [],
  retiringHashes: [],
  roles: [],
  scopes: ["**"],
  endpoints: [],
  ipAllow: [],
  ipDeny: [],
  deniedIntegrations: [],
  signing: undefined,
  notBeforeMs: undefined,
  expiresAtMs: undefined,
};

export const newAccount: AccountNode = {
  id: "",
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
};
