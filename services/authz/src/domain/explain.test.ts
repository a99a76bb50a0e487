import { describe, expect, it } from "vitest";
import { reading, TestExplainer } from "./explain.fixture.ts";
import { CHECKS, type Explanation } from "./explanation.ts";
import { keyed } from "./verify.fixture.ts";

const tree = () => {
  const authz = new TestExplainer();
  authz.account("acc_sub", { parentId: "acc_org", slug: "team" });
  return authz;
};

const checkOf = ({ checks }: Explanation, code: string) => checks.find((check) => check.code === code)!;

describe("an explanation", () => {
  it("says every check in the order of Verify, of a call that passes all", async () => {
    const authz = tree();
    const { id, presented } = authz.key("acc_sub", { name: "ci", scopes: ["weather.**"] });
    const explained = await authz.explain({ presented, resource: "weather.read" });
    expect(explained.checks.map(({ code }) => code)).toEqual([...CHECKS]);
    expect(explained).toMatchObject({ decidedBy: "", decision: { code: "VALID", decisionId: "" } });
    expect(checkOf(explained, "NOT_FOUND")).toMatchObject({
      nodeId: id,
      detail: 'the key "ci" of the account "team"',
    });
    expect(checkOf(explained, "SCOPE_DENIED")).toMatchObject({
      outcome: "PASSED",
      detail: 'the key "ci": weather.read is allowed by weather.** in its own scopes',
    });
    expect(checkOf(explained, "EXPIRED").outcome).toBe("NOT_APPLICABLE");
  });

  it("names the parent key that is disabled", async () => {
    const authz = tree();
    const parent = authz.key("acc_sub", { name: "boss", status: "DISABLED" });
    const sub = authz.key("acc_sub", { kind: "SUB", parentKeyId: parent.id });
    const explained = await authz.explain(sub);
    expect(checkOf(explained, "DISABLED")).toEqual({
      code: "DISABLED",
      outcome: "FAILED",
      nodeId: parent.id,
      detail: 'its parent key "boss" is disabled',
    });
    expect(checkOf(explained, "EXPIRED").outcome).toBe("NOT_REACHED");
    expect(explained.decidedBy).toBe("DISABLED");
  });

  it("says since when and until when", async () => {
    const authz = tree();
    const at = authz.now.wallMs;
    const early = await authz.explain(authz.key("acc_sub", { notBeforeMs: at + 1000 }));
    expect(checkOf(early, "NOT_YET_VALID").detail).toBe(
      `the key "key" is not valid before ${new Date(at + 1000).toISOString()}`,
    );
    const late = await authz.explain(
      authz.key("acc_sub", { notBeforeMs: at - 9000, expiresAtMs: at - 1000 }),
    );
    expect(checkOf(late, "NOT_YET_VALID")).toMatchObject({ outcome: "PASSED" });
    expect(checkOf(late, "EXPIRED")).toMatchObject({
      outcome: "FAILED",
      detail: `the key "key" expired at ${new Date(at - 1000).toISOString()}`,
    });
  });

  it("names who is suspended, of the target as well", async () => {
    const authz = tree();
    const master = authz.key("acc_org", { kind: "MASTER" });
    authz.account("acc_sub", { status: "SUSPENDED" });
    const explained = await authz.explain({ ...master, account: "team" });
    expect(checkOf(explained, "ACCOUNT_SUSPENDED")).toMatchObject({ outcome: "FAILED", nodeId: "acc_sub" });
    expect(checkOf(explained, "TARGET_NOT_FOUND").outcome).toBe("PASSED");
    expect(checkOf(explained, "ADDRESS_DENIED").outcome).toBe("NOT_REACHED");
  });

  it("names the document and the version that are missing", async () => {
    const authz = tree();
    const terms = [{ document: "tos", version: "3", gates: [] }];
    authz.account("acc_root", { providerRules: { types: new Map(), terms, importPrefixes: [] } });
    authz.account("acc_org", { acceptedTerms: new Map([["tos", "2"]]) });
    const explained = await authz.explain(authz.key("acc_sub"));
    expect(checkOf(explained, "TERMS_REQUIRED")).toMatchObject({
      nodeId: "acc_org",
      detail: "the organization has yet to accept tos 3; it has accepted version 2",
    });
  });

  it("says which address met which list", async () => {
    const authz = tree();
    const parent = authz.key("acc_sub", { name: "boss", ipDeny: ["198.51.100.0/24"] });
    const sub = authz.key("acc_sub", { kind: "SUB", parentKeyId: parent.id, ipAllow: ["192.0.2.0/24"] });
    const detail = async (address: string | undefined) =>
      checkOf(await authz.explain({ ...sub, address }), "ADDRESS_DENIED").detail;
    expect(await detail("203.0.113.1")).toBe(
      'the key "key" is for 192.0.2.0/24 only, and the call comes from 203.0.113.1',
    );
    expect(await detail(undefined)).toContain("the address of the call is not known");
    const denied = await authz.explain({ presented: parent.presented, address: "198.51.100.7" });
    expect(checkOf(denied, "ADDRESS_DENIED").detail).toBe(
      'the key "boss" is denied 198.51.100.0/24, which 198.51.100.7 is of',
    );
  });

  it("says of each list in sight by what it allowed", async () => {
    const authz = tree();
    authz.account("acc_org", { scopeCeiling: ["!orders.**"], slug: "acme" });
    const boss = authz.key("acc_sub", { name: "boss", scopes: ["weather.*"] });
    const call = {
      ...authz.key("acc_sub", {
        name: "ci",
        kind: "SUB",
        parentKeyId: boss.id,
        scopes: [],
        roles: ["developer"],
      }),
      resource: "weather.read",
    };
    const own = [
      'the key "ci": weather.read is allowed by ** in the scopes of its role developer',
      'the key "boss": weather.read is allowed by weather.* in its own scopes',
    ];
    const above =
      'the account "acme": weather.read is allowed by the scopes of its ceiling, which deny other things only';
    const detail = (explained: Explanation) => checkOf(explained, "SCOPE_DENIED").detail.split("; ");
    expect(detail(await authz.explain(call))).toEqual([...own, above]);
    expect(detail(await authz.explain(call, keyed(authz, boss)))).toEqual(own);
  });

  it("says which range let an address in", async () => {
    const authz = tree();
    const boss = authz.key("acc_sub", { name: "boss", ipAllow: ["192.0.2.0/24", "10.0.0.0/8"] });
    const key = authz.key("acc_sub", { kind: "SUB", parentKeyId: boss.id, ipDeny: ["10.9.0.0/16"] });
    const explained = await authz.explain({ ...key, address: "10.1.1.1" });
    expect(checkOf(explained, "ADDRESS_DENIED")).toMatchObject({
      outcome: "PASSED",
      detail: 'the key "key" is denied others; its parent key "boss" is for 10.0.0.0/8, which 10.1.1.1 is of',
    });
  });

  it.each<[string, (authz: TestExplainer) => { presented: string }, object]>([
    [
      'the key "key": orders.cancel is denied by !orders.cancel in its own scopes',
      (authz) => authz.key("acc_sub", { scopes: ["**", "!orders.cancel"] }),
      { nodeId: expect.stringContaining("key_") },
    ],
    [
      'the key "key": nothing in its roles and scopes allows orders.cancel',
      (authz) => authz.key("acc_sub", { scopes: [], roles: ["auditor"] }),
      {},
    ],
    [
      'the key "boss": orders.cancel is denied by !orders.** in its own scopes',
      (authz) => {
        const { id } = authz.key("acc_sub", { name: "boss", scopes: ["!orders.**"] });
        return authz.key("acc_sub", { kind: "SUB", parentKeyId: id });
      },
      {},
    ],
    [
      'the account "acme": nothing in the scopes of its ceiling allows orders.cancel',
      (authz) => {
        authz.account("acc_org", { scopeCeiling: ["weather.**"] });
        return authz.key("acc_sub");
      },
      { nodeId: "acc_org" },
    ],
    [
      'the account "team": orders.cancel is denied by !orders.** in the scopes of its type trial',
      (authz) => {
        const types = new Map([["trial", ["**", "!orders.**"]]]);
        authz.account("acc_root", { providerRules: { types, terms: [], importPrefixes: [] } });
        authz.account("acc_sub", { type: "trial" });
        return authz.key("acc_sub");
      },
      { nodeId: "acc_sub" },
    ],
  ])("says which list decided: %s", async (detail, made, more) => {
    const authz = tree();
    const explained = await authz.explain({ ...made(authz), resource: "orders.cancel" });
    expect(checkOf(explained, "SCOPE_DENIED")).toMatchObject({ outcome: "FAILED", detail, ...more });
  });

  it("leaves no trace", async () => {
    const authz = tree();
    const { presented } = authz.key("acc_sub", { scopes: ["weather.read"] });
    await authz.explain({ presented, resource: "weather.read" });
    await authz.explain({ presented, resource: "orders.read" });
    await authz.activity.flush();
    expect([authz.charged, authz.denials, authz.reported]).toEqual([0, [], []]);
    // As it would have been seen.
    await authz.verify({ presented, resource: "weather.read" });
    await authz.verify({ presented, resource: "orders.read" });
    await authz.activity.flush();
    expect([authz.charged, authz.denials.length, authz.reported.length]).toEqual([1, 1, 1]);
  });

  it("says nothing of anything where not even the verifier is known", () => {
    const { decision, checks, buckets } = tree().undecided();
    expect([decision.code, buckets]).toEqual(["INDETERMINATE", []]);
    expect(checks.map(({ outcome }) => outcome)).toEqual([
      "UNKNOWN",
      ...CHECKS.slice(1).map(() => "NOT_REACHED"),
    ]);
  });
});

describe("what a verifier may see", () => {
  const seenBy = async (change: (authz: TestExplainer) => void) => {
    const authz = tree();
    authz.account("acc_other", { organizationId: "acc_other", slug: "other" });
    const verifier = keyed(authz, authz.key("acc_org"));
    change(authz);
    return { authz, verifier };
  };

  it("is of a foreign key what it is of none", async () => {
    const { authz, verifier } = await seenBy(() => {});
    const foreign = authz.key("acc_other");
    const lost = authz.format.mint("ACCOUNT");
    const explained = await authz.explain(foreign, verifier);
    expect(explained).toEqual(await authz.explain(lost, verifier));
    expect(explained).toMatchObject({ decidedBy: "NOT_FOUND", buckets: [], checks: [{ nodeId: undefined }] });
    expect((await authz.explain(foreign)).decision.code).toBe("VALID");
    // Revoked, it is that to who sees it, and still none to others.
    authz.changeKey(foreign.id, { status: "REVOKED" });
    expect((await authz.explain(foreign)).checks[0]!.detail).toBe('the key "key" was revoked');
    expect(await authz.explain(foreign, verifier)).toEqual(await authz.explain(lost, verifier));
  });

  it("is that a secret was changed, only to who sees the key", async () => {
    const { authz, verifier } = await seenBy(() => {});
    const key = authz.key("acc_sub");
    authz.changeKey(key.id, { secretHashes: ["another"] });
    expect((await authz.explain(key, verifier)).checks[0]).toMatchObject({ nodeId: key.id });
    const other = keyed(authz, authz.key("acc_other"));
    expect((await authz.explain(key, other)).checks[0]!.nodeId).toBeUndefined();
  });

  it("is of accounts above its own that they decided, and no more", async () => {
    const authz = tree();
    const verifier = keyed(authz, authz.key("acc_sub"));
    const { presented } = authz.key("acc_sub");
    authz.account("acc_org", { scopeCeiling: ["secret.pattern"] });
    const denied = await authz.explain({ presented, resource: "weather.read" }, verifier);
    expect(checkOf(denied, "SCOPE_DENIED")).toMatchObject({ outcome: "FAILED", nodeId: undefined });
    authz.account("acc_org", { status: "SUSPENDED" });
    const suspended = await authz.explain({ presented }, verifier);
    expect(checkOf(suspended, "ACCOUNT_SUSPENDED")).toMatchObject({ outcome: "FAILED", nodeId: undefined });
    for (const explained of [denied, suspended]) {
      expect(JSON.stringify(explained.checks)).not.toMatch(/acc_org|acme|secret\.pattern/);
    }
    // The organization's own sees all of it.
    const own = keyed(authz, authz.key("acc_org"));
    expect(checkOf(await authz.explain({ presented }, own), "ACCOUNT_SUSPENDED").nodeId).toBe("acc_org");
  });

  it("is no number of a limit above it", async () => {
    const authz = tree();
    const verifier = keyed(authz, authz.key("acc_sub"));
    const { presented } = authz.key("acc_sub");
    authz.readings = [reading("acc_sub", {}), reading("acc_org", {}, { remaining: 0, used: 100 })];
    const explained = await authz.explain({ presented }, verifier);
    expect(explained.buckets.map(({ limit }) => limit.id)).toEqual(["lim_acc_sub"]);
    expect(explained).toMatchObject({
      decidedBy: "above",
      decision: { code: "QUOTA_EXCEEDED", binding: undefined },
    });
    expect(await authz.explain({ presented })).toMatchObject({
      decidedBy: "lim_acc_org",
      decision: { code: "QUOTA_EXCEEDED", binding: { limit: { id: "lim_acc_org" }, remaining: 0 } },
    });
  });
});

describe("the buckets of an explanation", () => {
  const call = (units: number) => ({ needs: [{ meter: "requests", units }] });

  it("are those of key, parent key, account and ancestors", async () => {
    const authz = tree();
    const parent = authz.key("acc_sub");
    const sub = authz.key("acc_sub", { kind: "SUB", parentKeyId: parent.id });
    await authz.explain(sub);
    expect(authz.asked).toEqual([[sub.id, parent.id, "acc_sub", "acc_org", "acc_root"]]);
  });

  it("count what is in hand, and what others have not said to have spent, but nothing twice", async () => {
    const authz = tree();
    const { presented } = authz.key("acc_org");
    // 10 left for all, 30 lent: 20 to this replica, which has 5 of them left.
    authz.readings = [reading("acc_org", {}, { used: 60, leased: 30, leasedHere: 20, remaining: 10 })];
    authz.inHand.set("lim_acc_org", { held: 5, isReturning: false });
    const outcome = async (units: number) =>
      (await authz.explain({ presented, ...call(units) })).decision.code;
    expect(await outcome(25)).toBe("VALID");
    expect(await outcome(26)).toBe("QUOTA_EXCEEDED");
    expect(await outcome(0)).toBe("VALID");
    // What went back and is not booked yet may be enough: that is no denial.
    authz.inHand.set("lim_acc_org", { held: 5, isReturning: true });
    expect(await outcome(26)).toBe("INDETERMINATE");
  });

  it("show as used what this replica has spent, though metering has not heard of it", async () => {
    const authz = tree();
    const { presented } = authz.key("acc_org");
    authz.readings = [reading("acc_org", {}, { used: 60, leased: 30, leasedHere: 20, remaining: 10 })];
    const shown = async () => (await authz.explain({ presented, ...call(1) })).buckets[0]!;
    authz.inHand.set("lim_acc_org", { held: 5, isReturning: false });
    expect(await shown()).toMatchObject({ used: 75, leased: 15, remaining: 10, held: 5 });
    // What was granted since metering was asked is no negative spend.
    authz.inHand.set("lim_acc_org", { held: 25, isReturning: false });
    expect(await shown()).toMatchObject({ used: 60, leased: 30 });
    // Of what went back, nobody here knows how much of it was booked.
    authz.inHand.set("lim_acc_org", { held: 5, isReturning: true });
    expect(await shown()).toMatchObject({ used: 60, leased: 30 });
  });

  it("decide by the first that enforces, and by none that warns", async () => {
    const authz = tree();
    const { id, presented } = authz.key("acc_org");
    const empty = { remaining: 0 };
    authz.readings = [
      reading(id, { enforcement: "WARN" }, empty),
      reading("acc_org", { id: "lim_rate", kind: "rate" }, { ...empty, unitsPerMs: 0.5 }),
      reading("acc_org", {}, empty),
    ];
    const explained = await authz.explain({ presented, ...call(3) });
    expect(explained.decidedBy).toBe("lim_rate");
    expect(explained.decision).toMatchObject({ code: "RATE_LIMITED", retryAfterMs: 6 });
    expect(explained.buckets.map(({ outcome }) => outcome)).toEqual(["FAILED", "FAILED", "FAILED"]);
    authz.readings = [reading(id, { enforcement: "WARN" }, empty)];
    const warned = await authz.explain({ presented });
    expect(warned.decision).toMatchObject({ code: "VALID", warnings: [`lim_${id}`] });
  });

  it("are not looked at where a check failed, and unknown where metering is silent", async () => {
    const authz = tree();
    const { presented } = authz.key("acc_org", { scopes: ["weather.read"] });
    await authz.explain({ presented, resource: "orders.read" });
    expect(authz.asked).toEqual([]);
    authz.readings = undefined;
    const explained = await authz.explain({ presented });
    expect(explained).toMatchObject({ decidedBy: "", buckets: [], decision: { code: "INDETERMINATE" } });
    expect(explained.decision.reason).toContain("metering cannot be asked");
  });

  it("are not looked at where limits are too old to charge by, as Verify would not charge", async () => {
    const authz = tree();
    const { presented } = authz.key("acc_org");
    authz.readings = [reading("acc_org", {})];
    authz.limitsAgeMs = authz.options.limitsStalenessMaxMs + 1;
    expect(await authz.explain({ presented })).toMatchObject({ decision: { code: "INDETERMINATE" } });
    expect(authz.asked).toEqual([]);
  });

  it("are dropped where the key was revoked while they were read", async () => {
    const authz = tree();
    const { id, presented } = authz.key("acc_org");
    authz.readings = [reading("acc_org", {})];
    const explaining = authz.explain({ presented });
    await Promise.resolve();
    authz.changeKey(id, { status: "REVOKED" });
    expect(await explaining).toMatchObject({ decision: { code: "NOT_FOUND" }, buckets: [] });
  });
});
