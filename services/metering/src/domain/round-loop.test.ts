import { Failure, unavailable } from "@gatehouse/service/failure";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RoundLoop, type Turn } from "./round-loop.ts";

const options = { waitMs: 50, maxPerRound: 4, maxArrived: 10 };
const bad = () => new Failure({ code: "INVALID_ARGUMENT", reason: "INVALID_FIELD", message: "bad" });

/** A loop over numbers, with what each round was given; a round lasts until it is let go. */
function loopOf(answer: (item: number) => Turn<string>, own: { staleMs?: number } = {}) {
  const rounds: number[][] = [];
  let release: () => void = () => {};
  const gate = { closed: false, open: () => release() };
  const loop = new RoundLoop<number, string>({
    ...options,
    ...own,
    async serve(items) {
      rounds.push([...items]);
      if (gate.closed) await new Promise<void>((resolve) => (release = resolve));
      if (items.length > 1 && items.includes(13)) throw new Error("one of them breaks the rest");
      return items.map(answer);
    },
  });
  return { loop, rounds, gate };
}

const echo = (item: number): Turn<string> => ({ answer: `${item}` });

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A round has been, and its items are told apart. Not vi.waitFor, which moves the clock. */
async function served(rounds: readonly unknown[]): Promise<void> {
  while (rounds.length === 0) await turn();
  await turn();
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("what comes in one turn travels together, what comes meanwhile in the next, so many at most", async () => {
  const { loop, rounds, gate } = loopOf(echo);
  gate.closed = true;
  const first = [1, 2].map((item) => loop.submit(item));
  await served(rounds);
  const later = [3, 4, 5, 6, 7].map((item) => loop.submit(item));
  gate.closed = false;
  gate.open();
  expect(await Promise.all([...first, ...later])).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
  expect(rounds).toEqual([[1, 2], [3, 4, 5, 6], [7]]);
});

test("an item that cannot be served fails alone", async () => {
  const { loop } = loopOf((item) => {
    if (item === 13) throw bad();
    return echo(item);
  });
  const settled = await Promise.allSettled([1, 13, 2].map((item) => loop.submit(item)));
  expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});

test("what waited longer than anybody waits for it is refused, and what came after it is served", async () => {
  const { loop, rounds, gate } = loopOf(echo, { staleMs: 1000 });
  gate.closed = true;
  const first = loop.submit(1);
  await served(rounds);
  const refused = expect(loop.submit(2)).rejects.toMatchObject({ reason: "OVERLOADED" });
  vi.advanceTimersByTime(600);
  const fresh = loop.submit(3);
  vi.advanceTimersByTime(600);
  gate.closed = false;
  gate.open();
  expect([await first, await fresh]).toEqual(["1", "3"]);
  await refused;
  expect(rounds).toEqual([[1], [3]]);
});

test("where the database is busy all fail at once, and nothing is served twice", async () => {
  const rounds: number[] = [];
  const loop = new RoundLoop<number, string>({
    ...options,
    async serve(items) {
      rounds.push(items.length);
      throw unavailable("away");
    },
  });
  const settled = await Promise.allSettled([1, 2, 3].map((item) => loop.submit(item)));
  expect(settled.every(({ status }) => status === "rejected")).toBe(true);
  expect(rounds).toEqual([3]);
});

describe("an item that lacks something", () => {
  test("comes again first when that may be there", async () => {
    let there = false;
    const failure = unavailable("not there");
    const otherwise = { failure };
    const { loop, rounds } = loopOf((item) =>
      item === 1 && !there ? { lacks: ["x"], otherwise } : echo(item),
    );
    const waiting = loop.submit(1);
    await served(rounds);
    loop.wake(["y"]);
    there = true;
    loop.wake(["x"]);
    expect(await waiting).toBe("1");
    expect(rounds).toEqual([[1], [1]]);
  });

  test("is asked once more when its time is over, and then answered", async () => {
    const failure = unavailable("not there");
    const otherwise = { failure };
    const { loop, rounds } = loopOf(() => ({ lacks: ["x"], otherwise }));
    const refused = expect(loop.submit(1)).rejects.toBe(failure);
    await served(rounds);
    vi.advanceTimersByTime(options.waitMs);
    await refused;
    expect(rounds).toHaveLength(2);
  });
});

test("closing leaves what is under way to its round, and answers what lacks something still", async () => {
  let there = false;
  const failure = unavailable("not there");
  const otherwise = { failure };
  const { loop, rounds, gate } = loopOf((item) =>
    item === 1 && there ? echo(1) : { lacks: ["x"], otherwise },
  );
  const waiting = [1, 2].map((item) => loop.submit(item));
  await served(rounds);
  gate.closed = true;
  there = true;
  loop.wake(["x"]);
  while (rounds.length < 2) await turn();
  expect(loop.waiting).toBe(0);
  loop.close();
  gate.open();
  expect(await waiting[0]).toBe("1");
  await expect(waiting[1]).rejects.toMatchObject({ code: "UNAVAILABLE", message: "metering is closing" });
});

test("more than it takes on is refused at once, and closing answers all that wait", async () => {
  const { loop, gate } = loopOf(echo);
  gate.closed = true;
  const items = Array.from({ length: options.maxArrived }, (_, i) => loop.submit(i));
  await expect(loop.submit(99)).rejects.toMatchObject({ reason: "OVERLOADED" });
  loop.close();
  const settled = await Promise.allSettled(items);
  expect(settled.every(({ status }) => status === "rejected")).toBe(true);
  await expect(loop.submit(1)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});
