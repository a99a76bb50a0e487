import { isStrictAncestor, type Principal } from "@gatehouse/access";
import { failedPrecondition } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { type ChangedAccount, changeAccount } from "./change-account.ts";
import type { Holding } from "./holdings.ts";

/**
 * Closes an account for good, and with it its subtree. Refused while metering holds anything for one of them, and
 * where metering cannot be asked. Closing a closed account again is no change.
 *
 * metering is asked ahead of the transaction: asked within, it would keep the account's gate shut for as long as it
 * takes to answer. What it books between its answer and the commit is then held for a closed account: not lost, and
 * for an account above to take.
 */
export function closeAccount(
  domain: Domain,
  actor: Principal,
  request: { account: string },
): Promise<ChangedAccount> {
  const fields = new Fields();
  fields.reference("account", request.account, { required: true });
  fields.check();
  return changeAccount(domain, actor, {
    action: "gatehouse.accounts.close",
    name: request.account,
    evenClosed: true,
    permit: (target) => {
      if (isStrictAncestor(actor.view, target)) return;
      throw failedPrecondition("SELF_LOCKOUT", "the account is the one whose key the call is made with");
    },
    ask: async ([{ id, status }]) => {
      if (status === "CLOSED") return;
      const [first, ...more] = await domain.holdings.of(id);
      if (first !== undefined) throw holds(first, 1 + more.length);
    },
    become: ([before]) =>
      before.status === "CLOSED"
        ? before
        : { ...before, status: "CLOSED", suspensionReason: "", suspendedBy: "" },
  });
}

function holds({ accountId, currency, amount, decisionId }: Holding, count: number) {
  const metadata = { holdings: `${count}`, account_id: accountId, amount: `${amount}` };
  return failedPrecondition("ACCOUNT_HOLDS", "money or reservations are left in the account or below it", {
    ...metadata,
    ...(currency !== undefined && { currency }),
    ...(decisionId !== undefined && { decision_id: decisionId }),
  });
}
