import { mintId } from "@gatehouse/keys";
import { expect, test } from "vitest";
import { type Keeper, readHoldings } from "./holdings.ts";

const account = mintId("acc");
const known = { findChain: async () => [] };

function keeperOf(count: number): Keeper {
  const holding = { accountId: account, currency: "EUR", amount: 1n, decisionId: undefined };
  return { heldFor: async (_, limit) => Array.from({ length: Math.min(count, limit) }, () => holding) };
}

test("holdings are what all keepers hold, the first hundred", async () => {
  expect(await readHoldings(known, [], account)).toEqual([]);
  expect(await readHoldings(known, [keeperOf(0), keeperOf(2), keeperOf(1)], account)).toHaveLength(3);
  expect(await readHoldings(known, [keeperOf(80), keeperOf(1000)], account)).toHaveLength(100);
});

test("a keeper that cannot say fails the answer: to know of nothing is not to hold nothing", async () => {
  const silent: Keeper = { heldFor: () => Promise.reject(new Error("no answer")) };
  await expect(readHoldings(known, [keeperOf(0), silent], account)).rejects.toThrow("no answer");
});
