import fc from "fast-check";
import { expect } from "vitest";
import type { Account, Answer, LedgerModel, Request } from "./ledger-model.ts";

/** Clients with accounts of their own: each asks two replicas one thing after another, and knows what to expect. */

export interface Lane {
  readonly accounts: readonly Account[];
  readonly model: LedgerModel;
  asked: number;
}

/** An answer, and the id of its transaction where there is one. */
export interface Answered {
  readonly answer: Answer;
  readonly id: string | undefined;
}

/**
 * Asks one of the replicas, or after it the other, until it is answered. `ids` are those of transactions, by the keys of
 * the requests that made them.
 */
export type AskUntilAnswered = (
  replica: number,
  request: Request,
  ids: ReadonlyMap<string, string>,
) => Promise<Answered>;

/** "again": an earlier request; "stolen": the key of one, with another body; "twice": at the same time. */
export type Way = "new" | "again" | "stolen" | "twice";

export interface StepsOptions {
  readonly rpcs: readonly Request["rpc"][];
  readonly ways: readonly Way[];
  readonly lanes: number;
  readonly requests: number;
  readonly seed: number;
}

export type Step = {
  readonly rpc: Request["rpc"];
  readonly a: number;
  readonly b: number;
  readonly amount: number;
  readonly way: Way;
  readonly which: number;
  readonly through: number;
};

/** SQL: all wallets, and all that the provider gave and got, in one snapshot. It is to be 0. */
export const TOTAL = `SELECT (SELECT coalesce(sum(balance), 0) FROM wallet)
  - coalesce(sum(amount) FILTER (WHERE from_balance IS NULL), 0)
  + coalesce(sum(amount) FILTER (WHERE to_balance IS NULL), 0) AS total FROM ledger_transfer`;

/** What the clients are to do, by lane. */
export function stepsOf({ rpcs, ways, lanes, requests, seed }: StepsOptions): Step[][] {
  const step: fc.Arbitrary<Step> = fc.record({
    rpc: fc.constantFrom(...rpcs),
    a: fc.nat({ max: 4 }),
    b: fc.nat({ max: 4 }),
    amount: fc.integer({ min: -60, max: 100 }).filter((amount) => amount !== 0),
    way: fc.constantFrom(...ways),
    which: fc.nat(),
    through: fc.nat({ max: 1 }),
  });
  return fc.sample(fc.array(step, { minLength: requests, maxLength: requests }), { numRuns: lanes, seed });
}

/** Throws where an answer is not the model's, naming `run`, such as its seed. */
export async function runLane(
  lane: Lane,
  steps: readonly Step[],
  { ask, isOver, run }: { ask: AskUntilAnswered; isOver: () => boolean; run: string },
): Promise<void> {
  const { accounts, model } = lane;
  const history: Request[] = [];
  const ids = new Map<string, string>();
  for (const [i, each] of steps.entries()) {
    if (isOver()) return;
    const earlier = history[each.which % Math.max(history.length, 1)];
    const key = each.way === "stolen" && earlier !== undefined ? earlier.key : `${accounts[0]!.id} ${i}`;
    const request =
      each.way === "again" && earlier !== undefined ? earlier : requestOf(each, key, accounts, model);
    history.push(request);
    const expected = model.ask(request);
    const ways = each.way === "twice" ? [0, 1] : [each.through];
    const answers = await Promise.all(ways.map((n) => ask(n, request, ids)));
    lane.asked += ways.length;
    for (const { answer, id } of answers) {
      expect(answer, `${run}, request ${i} ${JSON.stringify(request)}`).toEqual(expected);
      if (id === undefined) continue;
      if (each.way !== "stolen") expect(ids.get(request.key) ?? id).toBe(id);
      ids.set(request.key, id);
    }
  }
}

function requestOf(
  { rpc, a, b, amount, which }: Step,
  key: string,
  accounts: readonly Account[],
  model: LedgerModel,
): Request {
  const [one, two] = [accounts[a % accounts.length]!.id, accounts[b % accounts.length]!.id];
  const positive = Math.abs(amount);
  switch (rpc) {
    case "refund": {
      const of = model.moved[which % Math.max(model.moved.length, 1)];
      if (of === undefined) return { rpc: "topUp", to: one, amount: positive, key };
      return { rpc, account: one, amount: which % 3 === 0 ? 0 : amount, of, key };
    }
    case "adjust":
      return { rpc, account: one, amount, key };
    case "transfer":
      return { rpc, from: one, to: two, amount: positive, key };
    case "topUp":
      return { rpc, to: one, amount: positive, key };
    case "report":
      return { rpc, account: one, units: positive, key };
    case "setCreditLimit":
      return { rpc, account: one, amount: positive, key };
    case "getBalance":
      return { rpc, account: one, key };
  }
}
