import type { Principal } from "@gatehouse/access";
import { LimitService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { type DrawnBalanceDependencies, drawnBalances } from "../domain/drawn-balances.ts";
import { getAllowance, listLimits } from "../domain/read-limits.ts";
import { resetLimit } from "../domain/reset-limit.ts";
import { deleteLimit, type LimitDependencies, setLimit } from "../domain/set-limit.ts";
import { balanceMessage } from "./credit-wire.ts";
import { bucketMessage, limitDraft, limitMessage, nodeName } from "./limit-wire.ts";

export function limitRoute(dependencies: LimitDependencies & DrawnBalanceDependencies): Route<Principal> {
  return route<typeof LimitService, Principal>(LimitService, {
    async setLimit(request, { principal }) {
      const draft = limitDraft(request);
      const named = nodeName(request.node);
      const { limit, freshness } = await setLimit(dependencies, principal.view, named, draft);
      return { limit: limitMessage(limit), freshness };
    },

    deleteLimit(request, { principal }) {
      return deleteLimit(dependencies, principal.view, request.limit);
    },

    async resetLimit({ limit }, { principal }) {
      const { allowance, freshness } = await resetLimit(dependencies, principal.view, limit);
      return { allowance: bucketMessage(allowance), freshness };
    },

    async listLimits({ node, descendants, pageSize, pageToken }, { principal }) {
      const draft = { node: nodeName(node), descendants, pageSize, pageToken };
      const { rows, nextPageToken } = await listLimits(dependencies, principal.view, draft);
      return { limits: rows.map(limitMessage), nextPageToken };
    },

    async getAllowance({ node }, { principal }) {
      const { view, grant } = principal;
      const allowances = await getAllowance(dependencies, view, nodeName(node));
      const seesMoney = grant.allows("gatehouse.credits.read");
      const balances = seesMoney ? await drawnBalances(dependencies, view, nodeName(node)) : [];
      return {
        allowances: allowances.map(bucketMessage),
        balances: balances.map((balance) => balanceMessage(balance)),
      };
    },
  });
}
