import { isId } from "@gatehouse/keys";
import { invalid, notFound } from "@gatehouse/service/failure";
import type { Mirror } from "./mirror.ts";

/** Money, in a currency or unit, or a reservation, which has a decision. */
export interface Holding {
  readonly accountId: string;
  readonly currency: string | undefined;
  /** Millionths of the currency, or the units reserved. */
  readonly amount: bigint;
  readonly decisionId: string | undefined;
}

/** Whoever keeps something for accounts. */
export interface Keeper {
  /** What it keeps for an account and all below it: the first `limit`, none where it keeps nothing. */
  heldFor(accountId: string, limit: number): Promise<readonly Holding[]>;
}

/** Enough to say why an account cannot be closed; nobody empties an account from this list. */
const MAX_HOLDINGS = 100;

/**
 * What all keepers together hold for an account and all below it. Throws Failure NOT_FOUND where identity, asked
 * anew, has no such account, and SOURCE_UNAVAILABLE where it does not answer: to know of no holdings is then no answer.
 */
export async function readHoldings(
  mirror: Pick<Mirror, "findChain">,
  keepers: readonly Keeper[],
  accountId: string,
): Promise<readonly Holding[]> {
  if (!isId("acc", accountId))
    throw invalid([{ field: "account_id", description: "must be an account's id" }]);
  if ((await mirror.findChain({ by: "id", id: accountId })) === undefined) throw notFound("account");
  const held = await Promise.all(keepers.map((keeper) => keeper.heldFor(accountId, MAX_HOLDINGS)));
  return held.flat().slice(0, MAX_HOLDINGS);
}
