import { systemClock } from "@gatehouse/changefeed";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Acquirer } from "./acquirer.ts";
import type { Journal } from "./journal.ts";
import { LeaseCounts } from "./lease-counts.ts";
import type { Ask } from "./lease-source.ts";
import { LimitBook } from "./limit-book.ts";
import type { PendingAsk } from "./pending-ask.ts";
import { RateReports } from "./rate-reports.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate"] }));
afterEach(() => void vi.useRealTimers());

const refill: PendingAsk = { nodeIds: ["key_1"], resource: "", needs: [], due: [] };
const lacking: PendingAsk = { ...refill, needs: [{ meter: "requests", units: 1 }] };

/** `answer` is whether metering answers; where it does not, it may have lent all the same. */
function setUp(answer: () => boolean = () => true) {
  const requests: number[] = [];
  const rates = new RateReports();
  const closed: string[] = [];
  const position = { incarnation: "one", revision: 0 };
  const acquirer = new Acquirer({
    book: new LimitBook(10),
    journal: {
      lease: (id: string) => ({ id }),
      close: ({ id }: { id: string }) => void closed.push(id),
    } as unknown as Journal,
    rates,
    source: {
      acquire: async ({ asks }: { asks: readonly Ask[] }, _trace, _onLate, onLost) => {
        requests.push(asks.length);
        if (!answer()) {
          onLost?.();
          throw new Error("the connection is gone");
        }
        return {
          position,
          limits: [],
          leases: [],
          results: asks.map(() => ({ outcome: "GRANTED" as const })),
        };
      },
    },
    clock: systemClock,
    identityFreshness: () => "",
    ship: () => {},
    counts: new LeaseCounts(),
  });
  return { acquirer, requests, closed, rates };
}

it("refills of several turns travel together", async () => {
  const { acquirer, requests } = setUp();
  const asked = [acquirer.acquire(refill)];
  await vi.advanceTimersByTimeAsync(10);
  asked.push(acquirer.acquire(refill));
  expect(requests).toEqual([]);
  await vi.advanceTimersByTimeAsync(11);
  await Promise.all(asked);
  expect(requests).toEqual([2]);
});

it("a call that lacks units waits for nobody, and takes along what waits", async () => {
  const { acquirer, requests } = setUp();
  const asked = [acquirer.acquire(refill), acquirer.acquire(lacking)];
  await vi.advanceTimersByTimeAsync(1);
  await Promise.all(asked);
  expect(requests).toEqual([2]);
  await vi.advanceTimersByTimeAsync(100);
  expect(requests).toEqual([2]);
});

it("what was to be reported and went with another request is not waited for by an empty one", async () => {
  const { acquirer, requests, rates } = setUp();
  rates.noteUnspent("lease_1");
  acquirer.report();
  await acquirer.reportNow();
  await vi.advanceTimersByTimeAsync(1);
  expect(requests).toEqual([0]);
});

it("what waits when a replica closes is asked for before it has closed", async () => {
  const { acquirer, requests } = setUp();
  const asked = acquirer.acquire(refill);
  const closed = acquirer.close();
  await vi.advanceTimersByTimeAsync(1);
  await Promise.all([asked, closed]);
  expect(requests).toEqual([1]);
});

it("what a request was lent whose answer was lost is closed by the request's number", async () => {
  let answers = true;
  const { acquirer, closed } = setUp(() => answers);
  for (const isAnswered of [true, false, true]) {
    answers = isAnswered;
    const asked = acquirer.acquire(lacking).catch(() => {});
    await vi.advanceTimersByTimeAsync(1);
    await asked;
  }
  expect(closed).toEqual([".2"]);
});
