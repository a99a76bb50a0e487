import { systemClock } from "@gatehouse/changefeed";
import { describe, expect, it } from "vitest";
import { GatheredRead } from "./gathered-read.ts";
import type { Journal } from "./journal.ts";
import { LeasePool } from "./lease-pool.ts";
import type { AcquireReply } from "./lease-source.ts";
import { LimitBook } from "./limit-book.ts";
import { FREE } from "./price-book.fixture.ts";
import { NotedTrace } from "./trace.fixture.ts";
import type { Trace } from "./trace.ts";
import { TestVerifier } from "./verify.fixture.ts";

describe("the trace of a call", () => {
  it("has a part for each wait of a cold one, and says what was decided", async () => {
    const authz = new TestVerifier();
    const { presented } = authz.key("acc_org", { kind: "MASTER" });
    authz.account("acc_sub", { parentId: "acc_org", slug: "team" });
    const trace = new NotedTrace("call");
    const decision = await authz.verify({ presented, account: "team", trace });
    expect(decision.code).toBe("VALID");
    expect(trace.parts.map(({ name, ended }) => [name, ended])).toEqual([
      ["call/read key", "well"],
      ["call/read account", "well"],
    ]);
    expect(trace.attributes).toEqual({ "gatehouse.decision_code": "VALID" });
  });

  it("has none for a warm one, which waits for nothing", async () => {
    const authz = new TestVerifier();
    const { presented } = authz.key("acc_org");
    await authz.verify({ presented });
    const trace = new NotedTrace("call");
    await authz.verify({ presented, trace });
    expect(trace.parts).toEqual([]);
    expect(trace.attributes).toEqual({ "gatehouse.decision_code": "VALID" });
  });

  it("ends what failed, without the words of what it failed by", async () => {
    const authz = new TestVerifier();
    const { presented } = authz.key("acc_org");
    authz.identity.resolveKeys = () => {
      throw new Error("key gth_acc_secret");
    };
    const trace = new NotedTrace("call");
    expect((await authz.verify({ presented, trace })).code).toBe("INDETERMINATE");
    expect(trace.parts.map(({ name, ended }) => [name, ended])).toEqual([["call/read key", "unavailable"]]);
    expect(trace.attributes).toEqual({ "gatehouse.decision_code": "INDETERMINATE" });
  });

  it("says of a batch only what its calls waited for", async () => {
    const authz = new TestVerifier();
    const { presented } = authz.key("acc_org");
    const trace = new NotedTrace("batch");
    await authz.verify({ presented, at: "requests[0].", trace });
    expect(trace.attributes).toEqual({});
    expect(trace.parts).toHaveLength(1);
  });
});

describe("work that calls share", () => {
  const [first, second, third] = ["first", "second", "third"].map((name) => new NotedTrace(name));

  it("is a part of the first traced call that asks for it; the others link to it", async () => {
    const carried: (Trace | undefined)[] = [];
    const gathered = new GatheredRead(async (names, trace) => {
      carried.push(trace);
      return names.length;
    }, 1000);
    const answers = [
      gathered.ask("a"),
      gathered.ask("b", first),
      gathered.ask("c", second),
      gathered.ask("d", third),
    ];
    expect(await Promise.all(answers)).toEqual([4, 4, 4, 4]);
    expect(carried).toEqual([first]);
    expect([first, second, third].map((trace) => trace!.links)).toEqual([[], ["of first"], ["of first"]]);
    await gathered.ask("e");
    expect(carried).toEqual([first, undefined]);
  });

  it("and so is a request for units; a refill in the background is of none", async () => {
    const carried: (Trace | undefined)[] = [];
    const reply: AcquireReply = {
      position: { incarnation: "one", revision: 1 },
      limits: [],
      results: [{ outcome: "GRANTED" }, { outcome: "GRANTED" }, { outcome: "UNKNOWN_NODE" }],
      leases: [],
    };
    const waited: number[] = [];
    const pool = new LeasePool({
      book: new LimitBook(100),
      prices: FREE,
      journal: {} as Journal,
      source: {
        acquire: async (_request, trace) => {
          carried.push(trace);
          return reply;
        },
      },
      clock: systemClock,
      ship: () => {},
      identityFreshness: () => "",
      onWaited: (ms) => waited.push(ms),
    });
    const [one, other] = [new NotedTrace("one"), new NotedTrace("other")];
    const ask = { nodeIds: ["acc_1"], resource: "", needs: [{ meter: "requests", units: 1 }], due: [] };
    await Promise.all([
      pool.acquire({ ...ask, needs: [] }),
      pool.acquire(ask, one),
      pool.acquire(ask, other),
    ]);
    expect(carried).toEqual([one.parts[0]]);
    expect(one.parts[0]).toMatchObject({ name: "one/acquire units", links: [], ended: "well" });
    expect(other.parts[0]).toMatchObject({ links: ["of one/acquire units"], ended: "well" });
    expect(pool.counts).toMatchObject({ acquires: 1, asks: { GRANTED: 2, UNKNOWN_NODE: 1 } });
    // A refill in the background keeps nobody waiting.
    expect(waited).toHaveLength(2);
  });
});
