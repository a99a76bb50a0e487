import { isStrictAncestor, type Principal } from "@gatehouse/access";
import { denied, failedPrecondition, invalid } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { requireNotClosed } from "../rules/closed-rule.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import type { Account } from "./account.ts";
import { type ChangedAccount, changeAccount } from "./change-account.ts";
import type { Holding } from "./holdings.ts";

/**
 * Closes an account for good, and with it its subtree. Refused while metering holds anything for one of them, and
 * where metering cannot be asked. Closing a closed account again is no change.
 *
 * metering is asked ahead of the transaction: asked within, it would keep the account's gate shut for as long as it
 * takes to answer. What it books between its answer and the commit is then held for a closed account: not lost, and
 * for an account above to take. The same goes for money that is moved elsewhere first: moving it again moves nothing.
 */
export function closeAccount(
  domain: Domain,
  actor: Principal,
  request: { account: string; transferBalanceTo: string },
): Promise<ChangedAccount> {
  const fields = new Fields();
  fields.reference("account", request.account, { required: true });
  const receiver = fields.reference("transfer_balance_to", request.transferBalanceTo);
  fields.check();
  return changeAccount(domain, actor, {
    action: "gatehouse.accounts.close",
    name: request.account,
    evenClosed: true,
    permit: (target) => {
      if (isStrictAncestor(actor.view, target)) return;
      throw failedPrecondition("SELF_LOCKOUT", "the account is the one whose key the call is made with");
    },
    ask: async ([target]) => {
      const { id, status } = target;
      if (status === "CLOSED") return;
      if (receiver !== undefined) await moveMoney(domain, actor, target, receiver);
      const [first, ...more] = await domain.holdings.of(id);
      if (first !== undefined) throw holds(first, 1 + more.length);
    },
    become: ([before]) =>
      before.status === "CLOSED"
        ? before
        : { ...before, status: "CLOSED", suspensionReason: "", suspendedBy: "" },
  });
}

const TRANSFER = "gatehouse.credits.transfer";

async function moveMoney(domain: Domain, actor: Principal, target: Account, receiver: string): Promise<void> {
  if (!actor.grant.allows(TRANSFER)) {
    throw denied("SCOPE_DENIED", `the key does not hold the scope ${TRANSFER}`);
  }
  const chain = await findAccount(domain.store, actor, receiver);
  const wrong = (description: string) => invalid([{ field: "transfer_balance_to", description }]);
  if (chain.some(({ id }) => id === target.id)) throw wrong("must not be closed with the account");
  if (chain[0].organizationId !== target.organizationId) {
    throw wrong("must be of the same organization as the account");
  }
  requireNotClosed(chain);
  await domain.holdings.move(target.id, chain[0].id, actor.view.key.id);
}

function holds({ accountId, currency, amount, decisionId }: Holding, count: number) {
  const metadata = { holdings: `${count}`, account_id: accountId, amount: `${amount}` };
  return failedPrecondition("ACCOUNT_HOLDS", "money or reservations are left in the account or below it", {
    ...metadata,
    ...(currency !== undefined && { currency }),
    ...(decisionId !== undefined && { decision_id: decisionId }),
  });
}
