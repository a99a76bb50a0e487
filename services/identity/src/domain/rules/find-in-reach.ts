import { type KeyView, type Principal, reaches } from "@gatehouse/access";
import { notFound } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";
import type { KeyInTree } from "../keys/key.ts";
import type { Reads } from "../store.ts";

/**
 * The account that the caller named, or its own where it named none. What is out of reach takes the same way
 * to the same NOT_FOUND as what does not exist.
 */
export async function findAccount(reads: Reads, actor: Principal, name: string | undefined): Promise<Chain> {
  const accountId = await accountIdOf(reads, actor.view, name);
  // What names nothing is looked for all the same: the way must not be shorter.
  const chain = await reads.accounts.find(accountId ?? name!);
  if (chain === undefined || !reaches(actor.view, chain)) throw notFound("account");
  return chain;
}

/** The key that the caller named, under the same rule. */
export async function findKey(
  reads: Pick<Reads, "keys">,
  actor: Principal,
  keyId: string,
): Promise<KeyInTree> {
  const found = await reads.keys.find(keyId);
  if (found === undefined || !reaches(actor.view, found.chain)) throw notFound("key");
  return found;
}

async function accountIdOf(
  reads: Reads,
  view: KeyView,
  name: string | undefined,
): Promise<string | undefined> {
  if (name === undefined) return view.key.accountId;
  const organizationId = view.chain[0]?.organizationId;
  const [accountId] = await reads.accounts.resolve([{ account: name, organizationId }]);
  return accountId;
}
