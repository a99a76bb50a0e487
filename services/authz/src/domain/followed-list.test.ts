import { describe, expect, it } from "vitest";
import { FollowedList } from "./followed-list.ts";

const at = (revision: number, incarnation = "one") => ({ incarnation, revision });

/** A list whose reads answer when the test says so, each with what it says. */
function setUp() {
  const held = new Map<string, number>();
  const reads: ((position: ReturnType<typeof at>, items: Record<string, number>) => void)[] = [];
  const list = new FollowedList<number>(
    () =>
      new Promise((resolve) => {
        reads.push((position, items) => resolve({ position, items: new Map(Object.entries(items)) }));
      }),
    {
      clear: () => held.clear(),
      put: (name, item) => held.set(name, item),
      delete: (name) => held.delete(name),
    },
  );
  list.restart(at(10));
  return { list, reads, held: () => Object.fromEntries(held) };
}

describe("a list of the provider's", () => {
  it("is read when it is asked for, and kept true from there", async () => {
    const { list, reads, held } = setUp();
    expect([list.isFilled, reads.length]).toEqual([false, 0]);
    const filled = list.fill();
    reads[0]!(at(12), { a: 1, b: 1 });
    await filled;
    expect([list.isFilled, held()]).toEqual([true, { a: 1, b: 1 }]);
    list.apply(13, "c", 1);
    list.apply(14, "a", 2);
    list.apply(15, "b", undefined);
    expect(held()).toEqual({ a: 2, c: 1 });
  });

  it("passes over changes that the read has seen", async () => {
    const { list, reads, held } = setUp();
    const filled = list.fill();
    reads[0]!(at(12), { a: 2 });
    await filled;
    list.apply(11, "a", 1);
    list.apply(12, "gone", 1);
    expect(held()).toEqual({ a: 2 });
  });

  it("does not believe what was read before a change, of another incarnation, or before it began", async () => {
    const { list, reads, held } = setUp();
    const filled = list.fill();
    list.apply(13, "a", undefined);
    reads[0]!(at(12), { a: 1 });
    await expect.poll(() => reads.length).toBe(2);
    reads[1]!(at(20, "two"), { a: 1 });
    await expect.poll(() => reads.length).toBe(3);
    reads[2]!(at(9), { a: 1 });
    await expect(filled).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect([list.isFilled, held()]).toEqual([false, {}]);
  });

  it("is forgotten when the follower begins again", async () => {
    const { list, reads, held } = setUp();
    const filled = list.fill();
    reads[0]!(at(12), { a: 1 });
    await filled;
    list.restart(at(3, "two"));
    expect([list.isFilled, held()]).toEqual([false, {}]);
  });
});
