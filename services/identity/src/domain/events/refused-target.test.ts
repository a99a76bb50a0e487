import { type Principal, refusedTarget } from "@gatehouse/access";
import { mintWebhookSecret } from "@gatehouse/events/webhook";
import { KeyFormat, mintId, newPepper, parsePepper } from "@gatehouse/keys";
import { describe, expect, it, test } from "vitest";
import { mintToken } from "../members/invitation.ts";

const rules = { types: new Map(), terms: [], importPrefixes: ["pk_live_", "old-"] };
const actor = { view: { chain: [{}, { providerRules: rules }] } } as unknown as Principal;

describe("what a refused attempt named is kept", () => {
  test.each([
    mintId("key"),
    mintId("acc"),
    mintId("usr"),
    mintId("inv"),
    mintId("lim"),
    "acme",
    "acme/team-2",
    "a".repeat(63),
    "input_tokens",
    "",
  ])("of the shape of an id or a name: %s", (named) => {
    expect(refusedTarget(named, actor)).toBe(named);
    expect(refusedTarget(named, undefined)).toBe(named);
  });
});

describe("what a refused attempt named is not kept", () => {
  const format = new KeyFormat({ peppers: [parsePepper(newPepper("a"))] });

  test.each([
    ["a key's secret", format.mint("ACCOUNT").presented],
    ["an invitation's token", mintToken(format, mintId("inv")).token],
    ["a webhook's secret", mintWebhookSecret()],
    ["a digest", "ab".repeat(32)],
    ["what begins like an id", `${mintId("key")}x`],
    ["an id of nothing that calls name", mintId("txn")],
    ["a path", "a/b/c"],
    ["any text", "Bearer abc"],
  ])("where it is %s", (_what, named) => {
    expect(refusedTarget(named, actor)).toBe("");
    expect(refusedTarget(`acme/${named}`, actor)).toBe("");
  });

  it("where it begins like an imported key, whatever else it looks like", () => {
    for (const named of ["pk_live_0123456789abcdef", "old-0123456789abcdef", "acme/old-0123456789abcdef"]) {
      expect(refusedTarget(named, actor)).toBe("");
    }
    expect(refusedTarget("old-0123456789abcdef", undefined)).toBe("old-0123456789abcdef");
  });
});
