import { describe, expect, it } from "vitest";
import { accountOf, keyOf, organization, root, subaccount, viewOf } from "../test/nodes.ts";
import type { KeyKind } from "./node.ts";
import { isProvider, isStrictAncestor, reaches } from "./reach.ts";

const kinds: KeyKind[] = ["MASTER", "ACCOUNT", "SUB"];
const own = [organization, root];
const below = [subaccount, organization, root];
const farBelow = [accountOf({ id: "acc_far", parentId: "acc_sub" }), ...below];
const beside = [accountOf({ id: "acc_other" }), root];
const above = [root];
const keyOfKind = (kind: KeyKind) => viewOf({ key: keyOf({ kind }) });

describe("the reach of a key", () => {
  it.each(kinds)("of kind %s holds its own account, and neither those above nor those beside", (kind) => {
    expect(reaches(keyOfKind(kind), own)).toBe(true);
    expect(reaches(keyOfKind(kind), above)).toBe(false);
    expect(reaches(keyOfKind(kind), beside)).toBe(false);
    expect(reaches(keyOfKind(kind), [])).toBe(false);
  });

  it.each(kinds)("of kind %s holds the subtree only if it is a master key", (kind) => {
    expect(reaches(keyOfKind(kind), below)).toBe(kind === "MASTER");
    expect(reaches(keyOfKind(kind), farBelow)).toBe(kind === "MASTER");
  });

  it("puts a master key strictly above its subtree, and never above its own account", () => {
    expect(isStrictAncestor(keyOfKind("MASTER"), below)).toBe(true);
    expect(isStrictAncestor(keyOfKind("MASTER"), own)).toBe(false);
    expect(isStrictAncestor(keyOfKind("MASTER"), above)).toBe(false);
    expect(isStrictAncestor(keyOfKind("MASTER"), beside)).toBe(false);
    expect(isStrictAncestor(keyOfKind("ACCOUNT"), below)).toBe(false);
  });

  it("knows the provider's keys by their account being the root", () => {
    expect(isProvider(viewOf({ chain: [root] }))).toBe(true);
    expect(isProvider(viewOf({ chain: own }))).toBe(false);
  });
});
