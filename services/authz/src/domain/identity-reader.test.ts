import { MissBudget } from "@gatehouse/access";
import { describe, expect, it } from "vitest";
import { FakeIdentity } from "./identity.fixture.ts";
import { IdentityCache } from "./identity-cache.ts";
import { IdentityReader, type IdentitySource } from "./identity-reader.ts";
import type { ResolvedHashes, ResolvedKeys, ResolvedTarget } from "./resolved.ts";

/** A source whose answers are read when the question comes, and given when the test says so. */
class HeldSource implements IdentitySource {
  readonly identity = new FakeIdentity();
  readonly asked: (readonly string[])[] = [];
  readonly targetsAsked: string[] = [];
  hold = (_ids: readonly string[]): Promise<void> | undefined => undefined;

  async resolveKeys(keyIds: readonly string[]): Promise<ResolvedKeys> {
    this.asked.push(keyIds);
    const answer = this.identity.resolveKeys(keyIds);
    await this.hold(keyIds);
    return answer;
  }

  async resolveHashes(hashes: readonly string[]): Promise<ResolvedHashes> {
    return this.identity.resolveHashes(hashes);
  }

  async resolveTarget(organizationId: string, account: string): Promise<ResolvedTarget> {
    this.targetsAsked.push(`${organizationId}/${account}`);
    const answer = this.identity.resolveTarget(organizationId, account);
    await this.hold([account]);
    return answer;
  }
}

function setUp() {
  const source = new HeldSource();
  const { identity } = source;
  for (const id of ["key_1", "key_2", "key_3"]) identity.putKey(id);
  const cache = new IdentityCache({ capacity: 10, lifetimeMs: 60_000, nowMs: () => 0 });
  cache.restart(identity.position);
  const pull = () => {
    const at = cache.position()!;
    cache.apply(at, identity.changesAfter(at.revision));
  };
  const reader = new IdentityReader(source, cache, new MissBudget({ perSecond: 1, burst: 1 }, () => 0));
  return { source, identity, cache, pull, reader };
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe("reading into the cache", () => {
  it("asks once for all who miss the same key, and together for what is missed in one turn", async () => {
    const { source, cache, reader } = setUp();
    await Promise.all(["key_1", "key_2", "key_1", "key_1"].map((id) => reader.readKey(id)));
    expect(source.asked).toEqual([["key_1", "key_2"]]);
    expect([cache.key("key_1"), cache.key("key_2")]).not.toContain(undefined);
  });

  it("asks for no more than a thousand keys at a time", async () => {
    const { source, reader } = setUp();
    await Promise.all(Array.from({ length: 1500 }, (_, i) => reader.readKey(`key_many_${i}`)));
    expect(source.asked.map(({ length }) => length)).toEqual([1000, 500]);
  });

  it("does not let a read that hangs hang the read of another key", async () => {
    const { source, cache, reader } = setUp();
    const deadline = Promise.withResolvers<void>();
    source.hold = (ids) => (ids.includes("key_1") ? deadline.promise : undefined);
    const hung = reader.readKey("key_1");
    await nextTurn();
    await reader.readKey("key_2");
    expect(cache.key("key_2")).toBeDefined();
    deadline.reject(new Error("its deadline"));
    await expect(hung).rejects.toThrow("its deadline");
  });

  it("caches no failure: whoever asks next asks anew", async () => {
    const { source, cache, reader } = setUp();
    source.hold = () => Promise.reject(new Error("down"));
    await expect(
      Promise.all([reader.readKey("key_1"), reader.readTarget("acc_org", "acc_org", "acc_org")]),
    ).rejects.toThrow();
    expect([cache.key("key_1"), cache.isUnknownKey("key_1")]).toEqual([undefined, false]);
    await nextTurn();
    source.hold = () => undefined;
    await Promise.all([reader.readKey("key_1"), reader.readTarget("acc_org", "acc_org", "acc_org")]);
    expect(cache.key("key_1")).toBeDefined();
    expect(cache.target("acc_org", "acc_org")).toBeDefined();
    expect(source.asked).toHaveLength(2);
  });

  it("passes a source that throws on to who asked, and to nobody else", async () => {
    const { source, reader } = setUp();
    source.resolveKeys = () => {
      throw new Error("not even a promise");
    };
    await expect(reader.readKey("key_1")).rejects.toThrow("not even a promise");
  });

  it("reads again what a change overtook", async () => {
    const { source, identity, cache, pull, reader } = setUp();
    const late = Promise.withResolvers<void>();
    source.hold = () => (source.asked.length === 1 ? late.promise : undefined);
    const reading = reader.readKey("key_1");
    await nextTurn();
    identity.putKey("key_1", { status: "REVOKED" });
    pull();
    late.resolve();
    await reading;
    expect(source.asked).toHaveLength(2);
    expect(cache.key("key_1")!.key.status).toBe("REVOKED");
  });

  it("gives up for this time on a key that changes faster than it is read", async () => {
    const { source, identity, cache, pull, reader } = setUp();
    source.hold = async () => {
      identity.putKey("key_1", { name: `name ${source.asked.length}` });
      pull();
    };
    await reader.readKey("key_1");
    expect(source.asked).toHaveLength(3);
    expect(cache.key("key_1")).toBeUndefined();
  });

  it("reads a presented key though nothing is left for those that are said to have signed", async () => {
    const { cache, reader } = setUp();
    await reader.readSigner("key_made_up");
    const [signer, presented] = await Promise.allSettled([
      reader.readSigner("key_1"),
      reader.readKey("key_1"),
    ]);
    expect([signer.status, presented.status]).toEqual(["rejected", "fulfilled"]);
    expect([cache.isUnknownKey("key_made_up"), cache.key("key_1")?.key.id]).toEqual([true, "key_1"]);
  });

  it("does not share the read of one name with another organization's", async () => {
    const { source, reader } = setUp();
    await Promise.all([
      reader.readTarget("a", "b", "a"),
      reader.readTarget("a", "b", "a"),
      reader.readTarget("ab", "", "ab"),
      reader.readTarget("a", "b c", "a"),
      reader.readTarget("a b", "c", "a b"),
    ]);
    expect(source.targetsAsked.toSorted()).toEqual(["a b/c", "a/b", "a/b c", "ab/"]);
  });

  it("remembers that a key or a name means nothing", async () => {
    const { cache, reader } = setUp();
    await Promise.all([reader.readKey("key_x"), reader.readTarget("acc_org", "acc_x", "acc_org")]);
    expect([cache.isUnknownKey("key_x"), cache.isUnknownTarget("acc_org", "acc_x")]).toEqual([true, true]);
  });
});

describe("catching up with a freshness token", () => {
  const token = { source: "identity" as const, incarnation: "one", revision: 7 };

  function proofAt(revision: number, incarnation = "one", prove: () => Promise<void> = async () => {}) {
    return {
      ageMs: () => 0,
      prove,
      provenProof: 1,
      isOutOfReach: false,
      position: { incarnation, revision },
    };
  }

  it("is done when a proof has reached it", async () => {
    const { reader } = setUp();
    expect(await reader.catchUp(proofAt(7), token)).toBe(true);
    expect(await reader.catchUp(proofAt(8), token)).toBe(true);
  });

  it("cannot be done for a token ahead of the head, or of another incarnation", async () => {
    const { reader } = setUp();
    for (const proof of [proofAt(6), proofAt(8, "two")]) {
      await expect(reader.catchUp(proof, token)).rejects.toMatchObject({
        code: "FAILED_PRECONDITION",
        reason: "FRESHNESS_UNREACHABLE",
      });
    }
  });

  it("is not known to be possible while the source is away", async () => {
    const { reader } = setUp();
    const away = proofAt(8, "two", () => Promise.reject(new Error("no route")));
    expect(await reader.catchUp(away, token)).toBe(false);
  });
});
