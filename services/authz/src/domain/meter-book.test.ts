import { describe, expect, it } from "vitest";
import { MeterBook } from "./meter-book.ts";

const call = (...meters: string[]) => ({
  presented: "",
  resource: "",
  account: "",
  needs: meters.map((meter) => ({ meter, units: 1 })),
  atLeastAsFresh: [],
  at: "requests[2].",
});

describe("the book of meters", () => {
  it("knows requests without asking, and asks for others once", async () => {
    let reads = 0;
    const book = new MeterBook(async () => {
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
    const book = new MeterBook(async () => declared);
    const fields = await book.check([call("tokens", "bogus")]).catch((error) => error.violations);
    expect(fields).toEqual([{ field: "requests[2].charges[1].meter", description: "no such meter" }]);
    declared.push("bogus");
    await expect(book.check([call("bogus")])).resolves.toBeUndefined();
  });
});
