import type { KeyNode, Principal } from "@gatehouse/access";
import { compileGrant } from "@gatehouse/scopes";
import { describe, expect, it } from "vitest";
import { MANY_COVER_STEPS, requireAllCovered } from "./grant-rule.ts";

const denies = Array.from({ length: 130 }, (_, at) => `!gatehouse.y${at}.**`);
const creator = holding("gatehouse.**", ...denies);

function holding(...scopes: string[]): Principal {
  return { view: undefined as never, grant: compileGrant({ roles: [], scopes }) };
}

function keyWith(scopes: readonly string[]): KeyNode {
  return { roles: [], scopes } as unknown as KeyNode;
}

/** Covered, and as dear to see as a valid key can make it; no two are the same. */
function dear(salt: number): KeyNode {
  return keyWith([...Array.from({ length: 20 }, (_, at) => `gatehouse.*.x${at}.z${salt}.**`), ...denies]);
}

/** The steps that judging the keys takes. */
function steps(...keys: KeyNode[]): number {
  const budget = { left: MANY_COVER_STEPS };
  requireAllCovered(creator, keys, [], budget);
  return MANY_COVER_STEPS - budget.left;
}

const refusal = (keys: readonly KeyNode[], budget?: { left: number }, by = creator) => {
  try {
    requireAllCovered(by, keys, [], budget);
    return "OK";
  } catch (error) {
    const { reason, message } = error as { reason: string; message: string };
    return `${reason}: ${message}`;
  }
};

describe("many new keys of one call", () => {
  it("cost once what says the same", () => {
    const once = steps(dear(0));
    expect(once).toBeGreaterThan(100_000);
    expect(steps(...Array.from({ length: 500 }, () => dear(0)))).toBe(once);
    expect(steps(dear(0), dear(1))).toBe(2 * once);
  });

  it("are judged within one budget, and refused where it is spent", () => {
    const budget = { left: MANY_COVER_STEPS };
    const keys = Array.from({ length: 90 }, (_, at) => dear(at));
    expect(refusal(keys, budget)).toMatch(/^GRANT_EXCEEDS_HOLDER: .*cannot be seen to be covered/);
    expect(budget.left).toBe(0);
  });

  it("are told from those that are not covered", () => {
    const keys = [keyWith(["gatehouse.keys.read"]), keyWith(["gatehouse.y7.read"])];
    expect(refusal(keys)).toMatch(/^GRANT_EXCEEDS_HOLDER: .*would hold scopes/);
    expect(refusal(keys, undefined, holding("gatehouse.**"))).toBe("OK");
  });

  it("leave room for five hundred that ordinary people import, each another", () => {
    const ordinary = Array.from({ length: 500 }, (_, at) =>
      keyWith(["gatehouse.keys.*", "gatehouse.accounts.read", `orders.${at}.**`, "!orders.*.cancel"]),
    );
    expect(steps(...ordinary)).toBeLessThan(MANY_COVER_STEPS);
  });
});
