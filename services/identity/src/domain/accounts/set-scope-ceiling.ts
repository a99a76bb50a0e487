import type { Principal } from "@gatehouse/access";
import { digestOf } from "../digest.ts";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { type ChangedAccount, changeAccount, requireStrictAncestor } from "./change-account.ts";

/** Sets what no key of an account or below it can pass, whatever it is given; none for no ceiling of its own. */
export function setScopeCeiling(
  domain: Domain,
  actor: Principal,
  request: { account: string; scopes: readonly string[] },
): Promise<ChangedAccount> {
  const fields = new Fields();
  fields.reference("account", request.account, { required: true });
  const scopeCeiling = fields.scopes("scopes", request.scopes);
  fields.check();
  return changeAccount(domain, actor, {
    action: "gatehouse.accounts.set-scope-ceiling",
    name: request.account,
    permit: (target) => requireStrictAncestor(actor, target, "set its scope ceiling"),
    become: ([before]) =>
      digestOf(before.scopeCeiling) === digestOf(scopeCeiling) ? before : { ...before, scopeCeiling },
  });
}
