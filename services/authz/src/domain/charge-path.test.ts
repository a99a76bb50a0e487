import { expect, it } from "vitest";
import { ChargePaths } from "./charge-path.ts";
import { AccountEntry, KeyEntry } from "./entry.ts";
import { FakeIdentity, newAccount } from "./identity.fixture.ts";

const identity = new FakeIdentity();
const root = new AccountEntry({ ...newAccount, id: "acc_root", parentId: undefined }, 0);
const own = new AccountEntry({ ...newAccount, id: "acc_own", parentId: "acc_root" }, 0);
const chain = [own, root];
const entryOf = (id: string) => new KeyEntry(identity.keyOf({ id }), undefined, chain, 0, 0);

it("a key that asks the same again finds its path, another question makes another", () => {
  const paths = new ChargePaths();
  const key = entryOf("key_1");
  const path = paths.of(key, chain, "orders.read");
  expect(paths.of(key, chain, "orders.read")).toBe(path);
  expect(paths.of(entryOf("key_1"), chain, "orders.read")).not.toBe(path);
  expect(paths.of(key, chain, "orders.list").resource).toBe("orders.list");
  expect(paths.of(key, [root], "orders.list").nodeIds).toEqual(["key_1", "acc_root"]);
  own.update({ ...own, scopeCeiling: ["weather.**"] }, 1);
  expect(paths.of(key, chain, "orders.list").isAllowed).toBe(false);
});

it("the paths of keys that call often stay, however many call once", () => {
  const paths = new ChargePaths();
  const [often, once] = [entryOf("key_often"), entryOf("key_once")];
  const before = [often, once].map((key) => paths.of(key, chain, ""));
  for (let i = 0; i < 40_000; i++) {
    paths.of(entryOf(`key_${i}`), chain, "");
    if (i % 1000 === 0) paths.of(often, chain, "");
  }
  expect([often, once].map((key, i) => paths.of(key, chain, "") === before[i])).toEqual([true, false]);
});
