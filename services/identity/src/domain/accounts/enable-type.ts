import type { Principal } from "@gatehouse/access";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { typeGate } from "../rules/gates.ts";
import type { Change } from "../store.ts";
import type { Account, Chain } from "./account.ts";
import {
  type AccountChange,
  type ChangedAccount,
  changeAccount,
  requireAtMost,
  requireStrictAncestor,
} from "./change-account.ts";
import { SLUG_PATTERN, SLUG_RULE } from "./slug.ts";
import { requireType, requireTypeEnabled } from "./type-rule.ts";

const MAX_ENABLED_TYPES = 50;

export interface EnableTypeRequest {
  readonly account: string;
  readonly type: string;
}

/** Lets accounts of a type be made below an account. Who is not the provider passes on only what it has itself. */
export function enableType(
  domain: Domain,
  actor: Principal,
  request: EnableTypeRequest,
): Promise<ChangedAccount> {
  return changeTypes(domain, actor, request, {
    action: "gatehouse.accounts.enable-type",
    async become(target, change, type) {
      const [account] = target;
      const definition = await requireType(change, target, type);
      if (account.enabledTypes.includes(type)) return account;
      const own = target.slice(target.findIndex(({ id }) => id === actor.view.key.accountId));
      requireTypeEnabled(own as unknown as Chain, definition);
      const enabledTypes = [...account.enabledTypes, type].sort();
      requireAtMost(enabledTypes.length, MAX_ENABLED_TYPES, account, "enabled types");
      return { ...account, enabledTypes };
    },
  });
}

/**
 * Takes an enablement back, from the whole subtree: what was passed on does not outlive what it came from. Accounts of
 * the type that are there stay.
 */
export function disableType(
  domain: Domain,
  actor: Principal,
  request: EnableTypeRequest,
): Promise<ChangedAccount> {
  return changeTypes(domain, actor, request, {
    action: "gatehouse.accounts.disable-type",
    async become(target, change, type) {
      const [account] = target;
      const enabledTypes = account.enabledTypes.filter((enabled) => enabled !== type);
      if (enabledTypes.length < account.enabledTypes.length) return { ...account, enabledTypes };
      await requireType(change, target, type);
      return account;
    },
    // Whoever enables it for one of those below relies on this account, and so comes before or after.
    below: {
      recordAs: "enabledTypesBelow",
      take: ([account], change, at) => change.accounts.disableTypeBelow(account.id, request.type, at),
    },
  });
}

interface TypesChange extends Pick<AccountChange, "action" | "below"> {
  become(target: Chain, change: Change, type: string): Promise<Account>;
}

function changeTypes(
  domain: Domain,
  actor: Principal,
  { account, type }: EnableTypeRequest,
  { become, ...change }: TypesChange,
): Promise<ChangedAccount> {
  const fields = new Fields();
  fields.reference("account", account, { required: true });
  fields.pattern("type", type, SLUG_PATTERN, SLUG_RULE);
  fields.check();
  return changeAccount(domain, actor, {
    ...change,
    name: account,
    permit: (target) => requireStrictAncestor(actor, target, "choose the account types below it"),
    reliesOn: [typeGate(type)],
    become: (target, within) => become(target, within, type),
  });
}
