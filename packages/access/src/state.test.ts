import { describe, expect, it } from "vitest";
import { accountOf, keyOf, organization, root, viewOf } from "../test/nodes.ts";
import type { KeyNode } from "./node.ts";
import { type KeyState, stateOf } from "./state.ts";

const nowMs = 1_000_000;
/** What can be wrong with a key, from what is said first to what is said last. */
const faults: [KeyState, Partial<KeyNode>][] = [
  ["NOT_FOUND", { status: "REVOKED" }],
  ["DISABLED", { status: "DISABLED" }],
  ["NOT_YET_VALID", { notBeforeMs: nowMs + 1 }],
  ["EXPIRED", { expiresAtMs: nowMs }],
];
const suspended = [accountOf({ status: "SUSPENDED" }), root];
const closed = [accountOf({ status: "CLOSED" }), root];

describe("the state of a key", () => {
  it.each(faults)("is %s by itself, and by its parent key", (state, fault) => {
    expect(stateOf(viewOf({ key: keyOf(fault) }), nowMs)).toBe(state);
    expect(stateOf(viewOf({ parent: keyOf(fault) }), nowMs)).toBe(state);
  });

  it("is the first of two faults, whether they are its own or its parent key's", () => {
    for (const [i, [first, fault]] of faults.entries()) {
      for (const [second, other] of faults.slice(i + 1)) {
        const note = `${first} before ${second}`;
        expect(stateOf(viewOf({ key: keyOf(fault), parent: keyOf(other) }), nowMs), note).toBe(first);
        expect(stateOf(viewOf({ key: keyOf(other), parent: keyOf(fault) }), nowMs), note).toBe(first);
      }
      expect(stateOf(viewOf({ key: keyOf(fault), chain: suspended }), nowMs)).toBe(first);
      expect(stateOf(viewOf({ parent: keyOf(fault), chain: closed }), nowMs)).toBe(first);
    }
  });

  it("begins with its start and ends before its end", () => {
    const key = keyOf({ notBeforeMs: nowMs, expiresAtMs: nowMs + 10 });
    expect(stateOf(viewOf({ key }), nowMs - 1)).toBe("NOT_YET_VALID");
    expect(stateOf(viewOf({ key }), nowMs)).toBe("VALID");
    expect(stateOf(viewOf({ key }), nowMs + 9)).toBe("VALID");
    expect(stateOf(viewOf({ key }), nowMs + 10)).toBe("EXPIRED");
  });

  it.each([
    ["ACCOUNT_SUSPENDED", "SUSPENDED"],
    ["ACCOUNT_CLOSED", "CLOSED"],
  ] as const)("is %s by its account and by any ancestor", (state, status) => {
    expect(stateOf(viewOf({ chain: [accountOf({ status }), organization, root] }), nowMs)).toBe(state);
    expect(stateOf(viewOf({ chain: [organization, accountOf({ status }), root] }), nowMs)).toBe(state);
    expect(stateOf(viewOf({ chain: [organization, { ...root, status }] }), nowMs)).toBe(state);
    expect(stateOf(viewOf(), nowMs)).toBe("VALID");
  });
});
