import { type AccountNode, grantOf, stateOf } from "@gatehouse/access";
import { compileGrant, covers } from "@gatehouse/scopes";
import { failedPrecondition } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";
import type { Key, KeyInTree } from "../keys/key.ts";
import type { Change } from "../store.ts";
import { CONTROL_PLANE } from "./grant-rule.ts";
import { keysGate } from "./plan-rule.ts";

/*
 * The provider's manager: a master key of the root account that can undo whatever others do, from anywhere, for good.
 * Nobody is above the root account, so without one a single wrong call, or a single key with one narrow scope, would
 * leave the whole deployment to nobody.
 */

/** As many of the provider's master keys are looked at by one statement. */
const PAGE = 100;

/**
 * Whoever changes what may be the provider's last manager holds this exclusively: of two changes at once each would
 * take the other's key for the one that is left. Costs nobody else anything.
 */
export function managerGates(account: Pick<AccountNode, "id" | "parentId">): string[] {
  return account.parentId === undefined ? [keysGate(account.id)] : [];
}

/**
 * Runs `work`, which may take the power of keys of the account. Throws Failure SELF_LOCKOUT where the provider had a
 * manager before and has none any more; who has chosen to live without one is left alone.
 */
export async function keepingManager<T>(
  change: Change,
  account: Pick<AccountNode, "id" | "parentId">,
  nowMs: number,
  work: () => Promise<T>,
): Promise<T> {
  if (account.parentId !== undefined || !(await hasManager(change, account.id, nowMs))) return work();
  const made = await work();
  if (await hasManager(change, account.id, nowMs)) return made;
  throw failedPrecondition(
    "SELF_LOCKOUT",
    "the provider would be left without an enabled master key that holds gatehouse.**, never expires and is bound " +
      "to no addresses or endpoints: make another one first",
  );
}

/** Would the provider lose its only manager with the key? */
export async function isOnlyManager(change: Change, view: KeyInTree, nowMs: number): Promise<boolean> {
  const [account] = view.chain;
  if (account.parentId !== undefined || !isManager(view, view.chain, nowMs)) return false;
  return !(await hasManager(change, account.id, nowMs, view.key.id));
}

async function hasManager(
  change: Change,
  rootId: string,
  nowMs: number,
  exceptKeyId?: string,
): Promise<boolean> {
  const chain = (await change.accounts.find(rootId))!;
  const filter = { accountId: rootId, status: "ENABLED", kind: "MASTER", labels: {} } as const;
  for (let after = ""; ; ) {
    const page = await change.keys.list({ ...filter, unusedSince: undefined }, { after, limit: PAGE });
    if (page.some((view) => view.key.id !== exceptKeyId && isManager(view, chain, nowMs))) return true;
    if (page.length < PAGE) return false;
    after = page.at(-1)!.key.id;
  }
}

function isManager({ key }: { readonly key: Key }, chain: Chain, nowMs: number): boolean {
  return (
    key.kind === "MASTER" &&
    stateOf({ key, parent: undefined, chain }, nowMs) === "VALID" &&
    // A signing key has nothing to call Gatehouse with, and an imported one works while its prefix is registered.
    key.secretHashes.length > 0 &&
    !key.imported &&
    key.expiresAtMs === undefined &&
    key.endpoints.length + key.ipAllow.length + key.ipDeny.length === 0 &&
    covers(grantOf(key, chain), everything, CONTROL_PLANE)
  );
}

const everything = compileGrant({ roles: [], scopes: [CONTROL_PLANE] });
