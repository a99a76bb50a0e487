import { KeyKind } from "@gatehouse/proto/identity";
import { type Caller, timely } from "./caller.ts";
import type { System } from "./system.ts";

/** A key and its credential. */
export interface HeldKey {
  readonly id: string;
  readonly secret: string;
}

export interface Subaccount {
  readonly id: string;
  readonly slug: string;
  /** Its first key: an account key with `developer` and `auditor`. */
  readonly key: HeldKey;
}

export interface Organization {
  readonly id: string;
  readonly slug: string;
  /** Its first key: a master key with every role. */
  readonly key: HeldKey;
  /** What that key can call. */
  readonly master: Caller;
  readonly subaccounts: readonly Subaccount[];
}

/** A customer with subaccounts of these names. */
export async function makeOrganization(
  system: System,
  name: string,
  subaccounts: readonly string[] = [],
): Promise<Organization> {
  const made = await system.root.accounts.createAccount({ name }, timely);
  const master = system.as(made.secret);
  const below: Subaccount[] = [];
  for (const name of subaccounts) {
    const { account, key, secret } = await master.accounts.createAccount({ name }, timely);
    below.push({ id: account!.id, slug: account!.slug, key: { id: key!.id, secret } });
  }
  const { account, key } = made;
  return {
    id: account!.id,
    slug: account!.slug,
    key: { id: key!.id, secret: made.secret },
    master,
    subaccounts: below,
  };
}

/** A sub-key of a key of `caller`'s account or below, with all that its parent has. */
export async function makeSubKey(caller: Caller, parentKey: string, name: string): Promise<HeldKey> {
  const made = await caller.keys.createKey({ parentKey, name, kind: KeyKind.SUB }, timely);
  return { id: made.key!.id, secret: made.secret };
}
