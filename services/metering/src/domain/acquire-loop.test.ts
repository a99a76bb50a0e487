import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { AcquireLoop } from "./acquire-loop.ts";
import type { AcquireRequest, LeaseStore } from "./lease.ts";
import type { Round } from "./lend.ts";

beforeEach(
  () => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "performance"] }),
);
afterEach(() => void vi.useRealTimers());

const request: AcquireRequest = { holder: "authz-1/1", number: undefined, asks: [], reports: [] };

/** A database whose transactions take as long as they are told. */
function slowStore() {
  const transactions: PromiseWithResolvers<void>[] = [];
  const share = { recalled: new Set<string>(), grants: [], results: [] };
  const transact = async () => {
    const transaction = Promise.withResolvers<void>();
    transactions.push(transaction);
    await transaction.promise;
    const [limits, money, endedHolders] = [new Map(), new Map(), new Set<string>()];
    return { limits, money, endedHolders, freshness: "", shares: [share, share] } as unknown as Round;
  };
  return { store: { transact } as unknown as LeaseStore, transactions };
}

it("does not work on what nobody waits for any more, and does on what came after", async () => {
  const { store, transactions } = slowStore();
  const loop = new AcquireLoop(store);
  const first = loop.acquire(request);
  await vi.advanceTimersByTimeAsync(1);
  const stale = loop.acquire(request);
  const refused = expect(stale).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "OVERLOADED" });
  await vi.advanceTimersByTimeAsync(600);
  const fresh = loop.acquire(request);
  await vi.advanceTimersByTimeAsync(600);
  transactions[0]!.resolve();
  await first;
  await refused;
  await vi.advanceTimersByTimeAsync(1);
  transactions[1]!.resolve();
  await fresh;
  expect([transactions.length, loop.rounds]).toEqual([2, 2]);
});
