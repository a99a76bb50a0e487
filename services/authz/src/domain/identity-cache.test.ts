import { stateOf } from "@gatehouse/access";
import { describe, expect, it } from "vitest";
import { isDoubted } from "./entry.ts";
import { FakeIdentity } from "./identity.fixture.ts";
import { IdentityCache } from "./identity-cache.ts";

function setUp({ capacity = 100, lifetimeMs = 60_000 } = {}) {
  const identity = new FakeIdentity();
  const now = { ms: 1_000_000 };
  const cache = new IdentityCache({ capacity, lifetimeMs, nowMs: () => now.ms });
  cache.restart(identity.position);
  const pull = () => {
    const at = cache.position()!;
    cache.apply(at, identity.changesAfter(at.revision));
  };
  const fill = (keyId: string) => cache.fillKey(keyId, identity.resolveKeys([keyId]));
  const fillTarget = (name: string) =>
    cache.fillTarget("acc_org", name, identity.resolveTarget("acc_org", name));
  const state = (keyId: string) => {
    const entry = cache.key(keyId);
    return entry && stateOf(entry, now.ms);
  };
  return { identity, now, cache, pull, fill, fillTarget, state };
}

describe("a fill that comes late", () => {
  it("is dropped if the key was revoked after it was read", () => {
    const { identity, cache, pull, state } = setUp();
    identity.putKey("key_1");
    const read = identity.resolveKeys(["key_1"]);
    identity.putKey("key_1", { status: "REVOKED" });
    pull();
    expect(cache.fillKey("key_1", read)).toBe(false);
    expect(state("key_1")).toBeUndefined();
    expect(cache.fillsDiscarded).toBe(1);
  });

  it("is dropped if the parent key, the account or an ancestor changed after it was read", () => {
    const changes: ((identity: FakeIdentity) => void)[] = [
      (identity) => identity.putKey("key_parent", { status: "DISABLED" }),
      (identity) => identity.putAccount("acc_sub", { status: "SUSPENDED" }),
      (identity) => identity.putAccount("acc_org", { status: "CLOSED" }),
      (identity) => identity.putAccount("acc_root", { labels: { a: "b" } }),
    ];
    for (const change of changes) {
      const { identity, cache, pull } = setUp();
      identity.putAccount("acc_sub", { parentId: "acc_org" });
      identity.putKey("key_parent", { accountId: "acc_sub" });
      identity.putKey("key_1", { accountId: "acc_sub", parentKeyId: "key_parent", kind: "SUB" });
      const read = identity.resolveKeys(["key_1"]);
      change(identity);
      pull();
      expect(cache.fillKey("key_1", read)).toBe(false);
    }
  });

  it("is kept if only what it does not speak of changed", () => {
    const { identity, cache, pull, state } = setUp();
    identity.putKey("key_1");
    const read = identity.resolveKeys(["key_1"]);
    identity.putKey("key_2");
    pull();
    expect(cache.fillKey("key_1", read)).toBe(true);
    expect(state("key_1")).toBe("VALID");
  });

  it("counts as overtaken once the ring no longer reaches back to it", () => {
    const { identity, cache, pull } = setUp();
    identity.putKey("key_1");
    pull();
    const read = identity.resolveKeys(["key_1"]);
    for (let i = 0; i < 65_536 + 2; i++) identity.putKey(`key_other_${i}`);
    pull();
    expect(cache.fillKey("key_1", read)).toBe(false);
  });

  it("does not make an unknown hash of one imported since, nor keeps one that outlived its key's entry", () => {
    const { identity, cache, pull } = setUp({ capacity: 1 });
    const early = identity.resolveHashes(["hash_1"]);
    identity.putKey("key_1", { secretHashes: ["hash_1"] });
    pull();
    expect([cache.fillImported("hash_1", early), cache.isUnknownHash("hash_1")]).toEqual([false, false]);
    expect(cache.fillImported("hash_1", identity.resolveHashes(["hash_1"]))).toBe(true);
    expect(cache.imported("hash_1")?.key.id).toBe("key_1");
    identity.putKey("key_1", { name: "changed" });
    pull();
    expect(cache.imported("hash_1")?.key.name).toBe("changed");
    identity.putKey("key_2");
    pull();
    cache.fillKey("key_2", identity.resolveKeys(["key_2"]));
    expect([cache.imported("hash_1"), cache.key("key_1")]).toEqual([undefined, undefined]);
  });

  it("is dropped if it was read before the cache began, or from another incarnation", () => {
    const { identity, cache } = setUp();
    identity.putKey("key_1");
    const read = identity.resolveKeys(["key_1"]);
    identity.putKey("key_2");
    cache.restart(identity.position);
    expect(cache.fillKey("key_1", read)).toBe(false);
    identity.incarnation = "two";
    expect(cache.fillKey("key_1", identity.resolveKeys(["key_1"]))).toBe(false);
    cache.restart(identity.position);
    expect(cache.fillKey("key_1", identity.resolveKeys(["key_1"]))).toBe(true);
  });

  it("does not make an unknown key of one created since, nor an unknown name of an account created since", () => {
    const { identity, cache, pull } = setUp();
    const read = identity.resolveKeys(["key_1"]);
    const readTarget = identity.resolveTarget("acc_org", "acc_new");
    identity.putKey("key_1");
    identity.putAccount("acc_new");
    pull();
    expect(cache.fillKey("key_1", read)).toBe(false);
    expect(cache.fillTarget("acc_org", "acc_new", readTarget)).toBe(false);
    expect([cache.isUnknownKey("key_1"), cache.isUnknownTarget("acc_org", "acc_new")]).toEqual([
      false,
      false,
    ]);
  });
});

describe("a fill that comes early", () => {
  it("is not undone by the older changes that follow it", () => {
    const { identity, pull, fill, state } = setUp();
    identity.putKey("key_1", { status: "DISABLED" });
    identity.putAccount("acc_org", { status: "SUSPENDED" });
    identity.putKey("key_1", { status: "ENABLED" });
    identity.putAccount("acc_org", { status: "ACTIVE" });
    const older = identity.log.slice(0, -2);
    expect(fill("key_1")).toBe(true);
    expect(state("key_1")).toBe("VALID");
    identity.log.length = older.length;
    pull();
    expect(state("key_1")).toBe("VALID");
  });
});

describe("what is final", () => {
  it("stays: a revoked key is not revived by a fill, however late", () => {
    const { identity, cache, pull, fill, state } = setUp();
    identity.putKey("key_1");
    fill("key_1");
    identity.putKey("key_1", { status: "REVOKED" });
    pull();
    expect(state("key_1")).toBe("NOT_FOUND");
    const lying = identity.resolveKeys(["key_1"]);
    const revived = new Map([["key_1", { ...identity.keys.get("key_1")!, status: "ENABLED" as const }]]);
    cache.fillKey("key_1", { ...lying, keys: revived });
    expect(state("key_1")).toBe("NOT_FOUND");
  });

  it("stays: a closed account is not reopened by a fill or a change", () => {
    const { identity, pull, fill, state } = setUp();
    identity.putKey("key_1");
    fill("key_1");
    identity.putAccount("acc_org", { status: "CLOSED" });
    pull();
    expect(state("key_1")).toBe("ACCOUNT_CLOSED");
    identity.putAccount("acc_org", { status: "ACTIVE" });
    identity.putKey("key_2");
    fill("key_2");
    pull();
    expect([state("key_1"), state("key_2")]).toEqual(["ACCOUNT_CLOSED", "ACCOUNT_CLOSED"]);
  });
});

describe("a sub-key", () => {
  function withParent() {
    const setting = setUp();
    setting.identity.putKey("key_parent");
    setting.identity.putKey("key_sub", { parentKeyId: "key_parent", kind: "SUB" });
    setting.identity.putKey("key_sub2", { parentKeyId: "key_parent", kind: "SUB" });
    setting.pull();
    setting.fill("key_sub");
    return setting;
  }

  it("is read again once its parent key was replaced", () => {
    const { identity, pull, fill, state } = withParent();
    expect(state("key_sub")).toBe("VALID");
    identity.putKey("key_parent", { status: "DISABLED" });
    pull();
    expect(state("key_sub")).toBeUndefined();
    fill("key_sub");
    expect(state("key_sub")).toBe("DISABLED");
  });

  it("shares its parent key's entry with its siblings, and does not replace it", () => {
    const { cache, fill, state } = withParent();
    fill("key_sub2");
    expect(state("key_sub")).toBe("VALID");
    expect(cache.key("key_sub")!.parent).toBe(cache.key("key_sub2")!.parent);
  });

  it("keeps its parent key in the cache by being used", () => {
    const { identity, cache, fill } = withParent();
    for (let i = 0; i < 1000; i++) {
      cache.key("key_sub");
      identity.putKey(`key_once_${i}`);
      fill(`key_once_${i}`);
    }
    expect(cache.key("key_sub")).toBeDefined();
  });
});

describe("an account", () => {
  it("that changes is changed for every key below it at once, in one place", () => {
    const { identity, cache, pull, fill, state } = setUp();
    const ids = Array.from({ length: 50 }, (_, i) => `key_${i}`);
    for (const id of ids) identity.putKey(id);
    pull();
    for (const id of ids) fill(id);
    const [shared] = cache.key("key_0")!.accounts;
    for (const id of ids) expect(cache.key(id)!.accounts[0]).toBe(shared);
    identity.putAccount("acc_org", { status: "SUSPENDED" });
    pull();
    for (const id of ids) expect(state(id)).toBe("ACCOUNT_SUSPENDED");
    identity.putAccount("acc_root", { status: "CLOSED" });
    identity.putAccount("acc_org", { status: "ACTIVE" });
    pull();
    for (const id of ids) expect(state(id)).toBe("ACCOUNT_CLOSED");
  });

  it("that changes reaches the keys that are left after very many came and went", () => {
    const { identity, cache, pull, fill, state } = setUp({ capacity: 10 });
    for (let i = 0; i < 1000; i++) identity.putKey(`key_${i}`);
    pull();
    for (let i = 0; i < 1000; i++) fill(`key_${i}`);
    expect(cache.size).toBeLessThanOrEqual(10);
    identity.putAccount("acc_org", { status: "SUSPENDED" });
    pull();
    const states = Array.from({ length: 1000 }, (_, i) => state(`key_${i}`)).filter(
      (found) => found !== undefined,
    );
    expect(states).toHaveLength(cache.size);
    expect(new Set(states)).toEqual(new Set(["ACCOUNT_SUSPENDED"]));
  });

  it("is not forgotten when the only entry that held it is replaced by one that will", () => {
    const { identity, now, pull, fill, state } = setUp();
    identity.putKey("key_parent");
    identity.putKey("key_sub", { parentKeyId: "key_parent", kind: "SUB" });
    pull();
    fill("key_parent");
    now.ms += 60_001; // outlived, and alone in holding the account, when the sub-key's fill replaces it
    fill("key_sub");
    identity.putAccount("acc_org", { status: "SUSPENDED" });
    pull();
    expect(state("key_sub")).toBe("ACCOUNT_SUSPENDED");
  });

  it("is let go with the last key below it", () => {
    const { identity, cache, pull, fill } = setUp({ capacity: 1 });
    identity.putAccount("acc_other");
    identity.putKey("key_1");
    identity.putKey("key_2", { accountId: "acc_other" });
    pull();
    fill("key_1");
    const before = cache.key("key_1")!.accounts;
    fill("key_2");
    const root = cache.key("key_2")!.accounts[1];
    fill("key_1");
    expect(cache.key("key_1")!.accounts[0]).not.toBe(before[0]);
    expect(cache.key("key_1")!.accounts[1]).toBe(root);
    expect(root).toBe(before[1]);
  });

  it("is not forgotten while only a name points at it", () => {
    const { identity, cache, pull, fill, fillTarget } = setUp({ capacity: 2 });
    fillTarget("acc_org");
    for (const id of ["key_1", "key_2", "key_3", "key_4"]) {
      identity.putKey(id);
      fill(id);
    }
    identity.putAccount("acc_org", { status: "SUSPENDED" });
    pull();
    expect(cache.target("acc_org", "acc_org")!.accounts[0]!.status).toBe("SUSPENDED");
  });
});

describe("an entry", () => {
  it("ends at its time, however often it is used; jitter only shortens it", () => {
    const { identity, now, cache, pull, fill, fillTarget } = setUp({ lifetimeMs: 1000 });
    for (let i = 0; i < 50; i++) identity.putKey(`key_${i}`);
    pull();
    for (let i = 0; i < 50; i++) fill(`key_${i}`);
    fillTarget("acc_org");
    for (let ms = 0; ms < 900; ms += 100) {
      for (let i = 0; i < 50; i++) expect(cache.key(`key_${i}`)).toBeDefined();
      expect(cache.target("acc_org", "acc_org")).toBeDefined();
      now.ms += 100;
    }
    now.ms += 100;
    for (let i = 0; i < 50; i++) expect(cache.key(`key_${i}`)).toBeUndefined();
    expect(cache.target("acc_org", "acc_org")).toBeUndefined();
  });

  it("is not extended by a change either", () => {
    const { identity, now, cache, pull, fill } = setUp({ lifetimeMs: 1000 });
    identity.putKey("key_1");
    fill("key_1");
    now.ms += 800;
    identity.putKey("key_1", { name: "other" });
    pull();
    expect(cache.key("key_1")!.key.name).toBe("other");
    now.ms += 200;
    expect(cache.key("key_1")).toBeUndefined();
  });

  it("gives way to others in a bounded cache, those that are used last", () => {
    const { identity, cache, fill } = setUp({ capacity: 20 });
    const hot = ["key_hot1", "key_hot2", "key_hot3"];
    for (const id of hot) identity.putKey(id);
    for (const id of hot) fill(id);
    for (let i = 0; i < 500; i++) {
      for (const id of hot) expect(cache.key(id), `after ${i}`).toBeDefined();
      identity.putKey(`key_once_${i}`);
      fill(`key_once_${i}`);
      cache.key(`key_once_${i}`); // whoever fills an entry reads it
    }
    expect(cache.size).toBe(20);
  });
});

describe("what is not there", () => {
  it("is remembered for two seconds", () => {
    const { now, cache, fill, fillTarget } = setUp();
    fill("key_1");
    fillTarget("acc_x");
    expect([cache.isUnknownKey("key_1"), cache.isUnknownTarget("acc_org", "acc_x")]).toEqual([true, true]);
    now.ms += 2000;
    expect([cache.isUnknownKey("key_1"), cache.isUnknownTarget("acc_org", "acc_x")]).toEqual([false, false]);
  });

  it("is forgotten as soon as it is made", () => {
    const { identity, cache, pull, fill, fillTarget } = setUp();
    fill("key_1");
    fillTarget("acc_x");
    identity.putKey("key_1");
    pull();
    expect([cache.isUnknownKey("key_1"), cache.isUnknownTarget("acc_org", "acc_x")]).toEqual([false, true]);
    identity.putAccount("acc_x");
    pull();
    expect(cache.isUnknownTarget("acc_org", "acc_x")).toBe(false);
  });

  it("is remembered in a bounded number", () => {
    const { cache, fill } = setUp();
    const asked = 65_536 + 5000;
    for (let i = 0; i < asked; i++) fill(`key_${i}`);
    let known = 0;
    for (let i = 0; i < asked; i++) if (cache.isUnknownKey(`key_${i}`)) known++;
    expect(known).toBe(65_536);
    expect(cache.size).toBe(0);
  });

  it("is found out about a name while other things keep changing", () => {
    const { identity, cache, pull, fill } = setUp();
    identity.putKey("key_1");
    fill("key_1");
    const read = identity.resolveTarget("acc_org", "acc_x");
    identity.putKey("key_1", { name: "other" });
    pull();
    expect(cache.fillTarget("acc_org", "acc_x", read)).toBe(true);
    expect(cache.isUnknownTarget("acc_org", "acc_x")).toBe(true);
  });
});

describe("a name", () => {
  it("means what it means to one organization, not to one whose id and name run together the same", () => {
    const { identity, cache } = setUp();
    const read = identity.resolveTarget("acc_org", "acc_org");
    cache.fillTarget("acc_org", "b", read);
    for (const [asking, name] of [
      ["acc_orgb", ""],
      ["", "acc_orgb"],
      ["b", "acc_org"],
      ["", "acc_org b"],
    ] as const) {
      expect(cache.target(asking, name)).toBeUndefined();
    }
    expect(cache.target("acc_org", "b")!.accounts[0]!.id).toBe("acc_org");
  });
});

describe("a doubt", () => {
  function doubted() {
    const setting = setUp();
    setting.identity.putKey("key_parent");
    setting.identity.putKey("key_sub", { parentKeyId: "key_parent", kind: "SUB" });
    setting.pull();
    setting.fill("key_sub");
    const entry = () => setting.cache.key("key_sub")!;
    return { ...setting, entry };
  }

  it.each(["key_sub", "key_parent", "acc_org", "acc_root"])(
    "about %s is one about all that depends on it",
    (id) => {
      const { cache, entry } = doubted();
      expect(isDoubted(entry(), entry().accounts, 0)).toBe(false);
      cache.doubt([id, "key_nobody"], 7);
      expect(isDoubted(entry(), entry().accounts, 7)).toBe(true);
      expect(isDoubted(entry(), entry().accounts, 8)).toBe(false);
    },
  );

  it("about the target is one about the call", () => {
    const { identity, cache, fillTarget, entry } = doubted();
    identity.putAccount("acc_sub", { parentId: "acc_org" });
    fillTarget("acc_sub");
    const { accounts } = cache.target("acc_org", "acc_sub")!;
    cache.doubt(["acc_sub"], 7);
    expect(isDoubted(entry(), entry().accounts, 7)).toBe(false);
    expect(isDoubted(entry(), accounts, 7)).toBe(true);
  });

  it("outlasts an earlier change of the same key that arrives after it", () => {
    const { identity, cache, pull, entry } = doubted();
    identity.putKey("key_sub", { name: "other" });
    cache.doubt(["key_sub"], 7); // rung for a change later than the one that is pulled now
    pull();
    expect(entry().key.name).toBe("other");
    expect(isDoubted(entry(), entry().accounts, 7)).toBe(true);
  });
});

describe("a restart", () => {
  it("forgets everything, and reads again", () => {
    const { identity, cache, fill, fillTarget, state } = setUp();
    identity.putKey("key_1");
    fill("key_1");
    fill("key_2");
    fillTarget("acc_org");
    cache.restart({ incarnation: "one", revision: identity.position.revision });
    expect([state("key_1"), cache.target("acc_org", "acc_org"), cache.size]).toEqual([
      undefined,
      undefined,
      0,
    ]);
    expect(cache.isUnknownKey("key_2")).toBe(false);
    fill("key_1");
    expect(state("key_1")).toBe("VALID");
  });
});
