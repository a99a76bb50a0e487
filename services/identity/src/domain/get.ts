import type { Principal } from "@gatehouse/access";
import type { Account } from "./accounts/account.ts";
import type { Domain } from "./domain.ts";
import { Fields } from "./fields.ts";
import { type ShownKey, showKey } from "./keys/show-key.ts";
import { findAccount, findKey } from "./rules/find-in-reach.ts";

/** One account in the caller's reach; its own where it names none. */
export async function getAccount(domain: Domain, actor: Principal, account: string): Promise<Account> {
  const fields = new Fields();
  const name = fields.reference("account", account);
  fields.check();
  const [found] = await findAccount(domain.store, actor, name);
  return found;
}

/** One key in the caller's reach. */
export async function getKey(domain: Domain, actor: Principal, keyId: string): Promise<ShownKey> {
  const fields = new Fields();
  fields.reference("key", keyId, { required: true });
  fields.check();
  return showKey(domain.store, await findKey(domain.store, actor, keyId), domain.nowMs());
}

/** The presented key itself, and its account. */
export async function whoAmI(
  domain: Domain,
  actor: Principal,
): Promise<{ shown: ShownKey; account: Account }> {
  const found = await findKey(domain.store, actor, actor.view.key.id);
  return { shown: await showKey(domain.store, found, domain.nowMs()), account: found.chain[0] };
}
