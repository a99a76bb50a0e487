import { describe, expect, it } from "vitest";
import { Fields } from "./fields.ts";

function faultOf(value: string): string | undefined {
  const fields = new Fields();
  fields.text("name", value, { min: 1, max: 100 });
  try {
    fields.check();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe("text", () => {
  it.each(["Acme", "Ünïcode", "שלום", "مرحبا", "日本", "🚀", "a", "می‌خواهم", "👩‍💻", "-", "7"])(
    "%j may be a name",
    (value) => expect(faultOf(value)).toBeUndefined(),
  );

  it.each([
    ["\u200b", "can be seen"],
    ["\u00ad", "can be seen"],
    ["\u3164", "can be seen"],
    ["\u2800", "can be seen"],
    ["\u202eadmin", "turn the text around"],
    ["a\u2066b", "turn the text around"],
    ["a\u0000b", "control characters"],
    ["\ud800", "control characters"],
    [" a", "begin or end"],
    ["", "is required"],
    ["x".repeat(101), "at most 100"],
  ])("%j may not", (value, why) => expect(faultOf(value)).toMatch(why));
});
