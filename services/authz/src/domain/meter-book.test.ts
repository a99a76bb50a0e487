import { describe, expect, it } from "vitest";
import { MeterBook } from "./meter-book.ts";
import { callOf } from "./verify.fixture.ts";

const call = (...meters: string[]) =>
  callOf({ needs: meters.map((meter) => ({ meter, units: 1 })), at: "requests[2]." });

const at = (revision: number) => ({ incarnation: "one", revision });

function bookOf(declared: () => readonly string[]): MeterBook {
  const book = new MeterBook(async () => {
    return { position: at(5), items: new Map(declared().map((name) => [name, true])) };
  });
  book.restart(at(5));
  return book;
}

describe("the book of meters", () => {
  it("knows requests without asking, and asks for others once", async () => {
    let reads = 0;
    const book = bookOf(() => {
      reads++;
      return ["tokens"];
    });
    await book.check([call("requests")]);
    expect([book.knows(call("requests")), book.knows(call("tokens")), reads]).toEqual([true, false, 0]);
    await book.check([call("requests", "tokens")]);
    await book.check([call("tokens")]);
    expect([book.knows(call("tokens")), reads]).toEqual([true, 1]);
  });

  it("names each charge of a meter that nobody declared, until somebody does", async () => {
    const declared = ["tokens"];
    const book = bookOf(() => declared);
    const fields = await book.check([call("tokens", "bogus")]).catch((error) => error.violations);
    expect(fields).toEqual([{ field: "requests[2].charges[1].meter", description: "no such meter" }]);
    const many = await book
      .check(Array.from({ length: 1000 }, () => call("bogus")))
      .catch((error) => error.violations);
    expect(many).toHaveLength(20);
    declared.push("bogus");
    await expect(book.check([call("bogus")])).resolves.toBeUndefined();
  });

  it("forgets a meter that the feed says is gone, and never requests", async () => {
    let declared = ["tokens"];
    const book = bookOf(() => declared);
    await book.check([call("tokens")]);
    declared = [];
    book.apply(6, "tokens", true);
    book.apply(7, "requests", true);
    expect([book.knows(call("tokens")), book.knows(call("requests"))]).toEqual([false, true]);
  });
});
