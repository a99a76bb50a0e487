import type { Moment } from "@gatehouse/changefeed";
import { type ChargePath, type ChargePlan, type Due, sameNeeds } from "./charge-path.ts";
import type { Need } from "./lease-source.ts";
import type { LimitBook, NodeLimits } from "./limit-book.ts";
import type { Prices } from "./price-book.ts";
import { isPricedFor, termsOf, tollsOf } from "./toll.ts";

/** What plans are made of. */
export interface Books {
  readonly book: LimitBook;
  readonly prices: Prices;
}

/**
 * Which buckets calls of these needs draw on: the plan that the path has, as long as it holds. Undefined where the limits
 * of a node are not known.
 */
export function planCharge(
  path: ChargePath,
  needs: readonly Need[],
  now: Moment,
  { book, prices }: Books,
): ChargePlan | "unpriced" | undefined {
  const { plan } = path;
  if (
    plan !== undefined &&
    sameNeeds(plan.needs, needs) &&
    plan.edition === prices.edition &&
    now.wallMs < plan.untilMs &&
    plan.nodes.every(isCurrent) &&
    isPricedFor(plan.terms, path.target)
  ) {
    return plan;
  }
  if (!prices.isUsable(now.wallMs)) return "unpriced";
  const nodes: NodeLimits[] = [];
  const due: Due[] = [];
  for (const nodeId of path.nodeIds) {
    const limits = book.limitsOf(nodeId);
    if (limits === undefined) return undefined;
    nodes.push(limits);
    for (const bucket of limits.buckets) {
      if (!bucket.counts(path.resource)) continue;
      const part = bucket.partFor(path.nodeIds);
      for (const { meter, units } of needs) if (meter === part.limit.meter) due.push({ bucket: part, units });
    }
  }
  const { edition } = prices;
  const accounts = nodes.slice(-path.target.length);
  const terms = termsOf(path.target);
  const { tolls, untilMs } = tollsOf(accounts, path.resource, terms, needs, prices, now.wallMs);
  if (tolls !== undefined) due.push(...tolls.dues);
  path.plan = { needs, nodes, due, terms, tolls, edition, untilMs };
  return path.plan;
}

function isCurrent(node: NodeLimits): boolean {
  return node.isCurrent;
}
