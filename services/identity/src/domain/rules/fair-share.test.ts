import { describe, expect, it } from "vitest";
import { FairShare } from "./fair-share.ts";

describe("a fair share", () => {
  it("is what one may have under way, whatever others have", async () => {
    const shares = new FairShare(2);
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = [shares.run("acme", () => promise), shares.run("acme", () => promise)];
    await expect(shares.run("acme", async () => {})).rejects.toMatchObject({ reason: "OVERLOADED" });
    expect(await shares.run("globex", async () => "done")).toBe("done");
    resolve();
    await Promise.all(waiting);
    expect(await shares.run("acme", async () => "done")).toBe("done");
  });

  it("is given back by what fails, and nobody is remembered who has nothing under way", async () => {
    const shares = new FairShare(1);
    for (let n = 0; n < 3; n++) {
      await expect(shares.run("acme", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    }
    expect(shares.size).toBe(0);
  });
});
