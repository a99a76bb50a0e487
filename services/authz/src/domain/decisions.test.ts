import { describe, expect, it } from "vitest";
import { Decisions } from "./decisions.ts";
import { callOf, keyed, TestVerifier } from "./verify.fixture.ts";
import { Verifier } from "./verify.ts";

const positive = (counts: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

it("a decision that a key is not to be found tells nothing of one, whoever knew it", () => {
  const authz = new TestVerifier();
  const entry = keyed(authz, authz.key("acc_org"));
  const decisions = new Decisions(authz.options);
  const { code, target, ...found } = decisions.make(authz.now, { code: "NOT_FOUND" }, "weather.read", entry);
  expect([code, found.entry, target, authz.denials]).toEqual(["NOT_FOUND", undefined, undefined, []]);
  expect(decisions.make(authz.now, { code: "DISABLED" }, "weather.read", entry).entry).toBe(entry);
  expect(authz.denials).toEqual([["DISABLED", "weather.read"]]);
});

describe("what is counted of decisions", () => {
  it("is each code, once for each call", async () => {
    const authz = new TestVerifier();
    const { presented } = authz.key("acc_org", { scopes: ["weather.read"] });
    await authz.verify({ presented, resource: "weather.read" });
    await authz.verify({ presented, resource: "weather.read" });
    await authz.verify({ presented, resource: "orders.read" });
    await authz.verify({ presented: `${presented}x` });
    expect(positive(authz.counts.codes)).toEqual({ VALID: 2, SCOPE_DENIED: 1, NOT_FOUND: 1 });
    expect(positive(authz.counts.causes)).toEqual({});
  });

  it("is INDETERMINATE, for the spool's sake, where what charged could not be written down", async () => {
    const authz = new TestVerifier();
    const { presented } = authz.key("acc_org");
    const failing = {
      ...authz.options.journal,
      whenWritten: (settle: (e?: Error) => void) => settle(new Error("full")),
    };
    const pool = Object.assign(authz.options.pool, { undo: () => {} });
    const verifier = new Verifier({ ...authz.options, pool, journal: failing });
    await verifier.verify(callOf({ presented }), authz.provider);
    expect(positive(verifier.counts.codes)).toEqual({ INDETERMINATE: 1 });
    expect(positive(verifier.counts.causes)).toEqual({ spool: 1 });
  });

  it("is INDETERMINATE where who waited was told so, though it was written down in the end", async () => {
    const authz = new TestVerifier();
    const { presented } = authz.key("acc_org");
    await authz.verify({ presented });
    let written = () => {};
    const hung: typeof authz.options.journal = {
      ...authz.options.journal,
      whenWritten: (settle, waiting) => {
        written = settle;
        waiting!.late(new Error("the disk does not answer"));
      },
    };
    const verifier = new Verifier({ ...authz.options, journal: hung });
    await verifier.verify(callOf({ presented }), authz.provider);
    written();
    expect(positive(verifier.counts.codes)).toEqual({ INDETERMINATE: 1 });
    expect(positive(verifier.counts.causes)).toEqual({ spool: 1 });
  });

  it("tells an identity that does not answer from a budget that is used up", async () => {
    const authz = new TestVerifier();
    authz.account("acc_root", { providerRules: { types: new Map(), terms: [], importPrefixes: ["sk_"] } });
    const { presented } = authz.key("acc_org");
    // So that the rules of the root are in the cache.
    await authz.verify({ presented });
    for (let i = 0; i < 8; i++) await authz.verify({ presented: `sk_nobody_has_this_one_${i}` });
    expect(positive(authz.counts.causes)).toEqual({ budget: 3 });
    authz.identity.resolveKeys = () => {
      throw new Error("out of reach");
    };
    await authz.verify({ presented: authz.key("acc_org").presented });
    expect(positive(authz.counts.causes)).toEqual({ budget: 3, identity: 1 });
  });
});
