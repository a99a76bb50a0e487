import { describe, expect, it } from "vitest";
import { ExplainGate } from "./explain-gate.ts";

const never = () => new Promise<never>(() => {});
const overloaded = { code: "RESOURCE_EXHAUSTED", reason: "OVERLOADED", retryAfterMs: 1000 };

describe("explanations at once", () => {
  it("are 4 of one key, and others have theirs", async () => {
    const gate = new ExplainGate();
    for (let i = 0; i < 4; i++) void gate.run("key_1", never);
    await expect(gate.run("key_1", never)).rejects.toMatchObject(overloaded);
    expect(await gate.run("key_2", async () => "told")).toBe("told");
  });

  it("are 16 in all", async () => {
    const gate = new ExplainGate();
    for (let i = 0; i < 16; i++) void gate.run(`key_${i}`, never);
    await expect(gate.run("key_16", never)).rejects.toMatchObject(overloaded);
  });

  it("make room when they end, well or not", async () => {
    const gate = new ExplainGate();
    for (let i = 0; i < 50; i++) {
      await gate.run("key_1", async () => i);
      await expect(gate.run("key_1", async () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    }
  });
});
