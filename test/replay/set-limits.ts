import type { Gatehouse } from "@gatehouse/client";
import { Enforcement, Window } from "@gatehouse/proto/metering";
import { eachOf } from "./each-of.ts";
import type { LimitWish } from "./limit-wish.ts";
import { persistently } from "./persist.ts";
import { ReplayError } from "./trace.ts";

const AT_ONCE = 16;

/** Where limits of a run go. */
export interface LimitNodes {
  readonly organizationId: string;
  /** Account id by slug. */
  readonly accounts: ReadonlyMap<string, string>;
}

/** Sets every wished limit with a provider's key. Answers a token that covers all, and the limited accounts. */
export async function setLimits(
  root: Gatehouse,
  wishes: readonly LimitWish[],
  nodes: LimitNodes,
): Promise<{ freshness: string[]; accountIds: Set<string> }> {
  const requests = wishes.flatMap((wish) => accountsOf(wish, nodes).map((id) => requestOf(wish, id)));
  let freshness: string[] = [];
  const set = async (request: (typeof requests)[number]) => {
    const answer = await persistently(() => root.limits.setLimit(request));
    freshness = [answer.freshness];
  };
  // The last alone: it is committed after all others, so its token covers theirs.
  await eachOf(requests.slice(0, -1), AT_ONCE, set);
  await eachOf(requests.slice(-1), 1, set);
  return { freshness, accountIds: new Set(requests.map(({ node }) => node.value)) };
}

function accountsOf({ account }: LimitWish, { organizationId, accounts }: LimitNodes): string[] {
  if (account === "org") return [organizationId];
  if (account === "*") return [...accounts.values()];
  const id = accounts.get(account);
  if (id === undefined) throw new ReplayError(`a limit is for ${account}, which nobody is replayed as`);
  return [id];
}

function requestOf({ meter, resource, allowance, enforcement }: LimitWish, accountId: string) {
  return {
    node: { case: "account", value: accountId } as const,
    meter,
    resource,
    enforcement: Enforcement[enforcement],
    allowance: allowanceOf(allowance),
  };
}

function allowanceOf(allowance: LimitWish["allowance"]) {
  if (allowance.kind === "quota") {
    const { units, window, timeZone } = allowance;
    return { case: "quota", value: { units, window: Window[window], timeZone } } as const;
  }
  const { units, intervalMs, burst = 0n } = allowance;
  const interval = {
    seconds: BigInt(Math.floor(intervalMs / 1000)),
    nanos: (intervalMs % 1000) * 1_000_000,
  };
  return { case: "rate", value: { units, interval, burst } } as const;
}
