import type { Principal } from "@gatehouse/access";
import { LimitService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { getAllowance, listLimits } from "../domain/read-limits.ts";
import { resetLimit } from "../domain/reset-limit.ts";
import { deleteLimit, type LimitDependencies, setLimit } from "../domain/set-limit.ts";
import { bucketMessage, limitDraft, limitMessage, nodeName } from "./limit-wire.ts";

export function limitRoute(dependencies: LimitDependencies): Route<Principal> {
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

    async listLimits({ node, pageSize, pageToken }, { principal }) {
      const request = { node: nodeName(node), pageSize, pageToken };
      const { limits, nextPageToken } = await listLimits(dependencies, principal.view, request);
      return { limits: limits.map(limitMessage), nextPageToken };
    },

    async getAllowance({ node }, { principal }) {
      const allowances = await getAllowance(dependencies, principal.view, nodeName(node));
      return { allowances: allowances.map(bucketMessage) };
    },
  });
}
