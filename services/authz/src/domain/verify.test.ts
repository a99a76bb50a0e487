import type { KeyNode } from "@gatehouse/access";
import { hashSecret } from "@gatehouse/keys";
import { describe, expect, it } from "vitest";
import { undecidableFor } from "./refusal.ts";
import { callOf, keyed, TestVerifier } from "./verify.fixture.ts";
import { Verifier } from "./verify.ts";
import type { VerifyCall } from "./verify-call.ts";

const tree = () => {
  const authz = new TestVerifier();
  authz.account("acc_sub", { parentId: "acc_org", slug: "team" });
  return authz;
};

describe("the grant of a key", () => {
  it("follows the roles that its accounts define, at once", async () => {
    const authz = tree();
    authz.account("acc_org", { roles: new Map([["reader", ["weather.read"]]]) });
    const { presented } = authz.key("acc_sub", { roles: ["reader"], scopes: [] });
    const read = { presented, resource: "weather.read" };
    expect(await authz.code(read)).toBe("VALID");
    authz.account("acc_org", { roles: new Map([["reader", ["weather.list"]]]) });
    expect(await authz.code(read)).toBe("SCOPE_DENIED");
    // The nearest account that defines the role counts.
    authz.account("acc_sub", { roles: new Map([["reader", ["weather.**"]]]) });
    expect(await authz.code(read)).toBe("VALID");
    authz.account("acc_sub", { roles: new Map() });
    authz.account("acc_org", { roles: new Map() });
    expect(await authz.code(read)).toBe("SCOPE_DENIED");
  });

  it("stays within every ceiling of its accounts and their types, as they are now", async () => {
    const authz = tree();
    const { presented } = authz.key("acc_sub");
    const read = { presented, resource: "weather.read" };
    expect(await authz.code(read)).toBe("VALID");
    authz.account("acc_org", { scopeCeiling: ["orders.**"] });
    expect(await authz.code(read)).toBe("SCOPE_DENIED");
    authz.account("acc_org", { scopeCeiling: [] });
    expect(await authz.code(read)).toBe("VALID");
    const types = new Map([["trial", ["!weather.read"]]]);
    authz.account("acc_root", { providerRules: { types, terms: [], importPrefixes: [] } });
    expect(await authz.code(read)).toBe("VALID");
    authz.account("acc_sub", { type: "trial" });
    expect(await authz.code(read)).toBe("SCOPE_DENIED");
    authz.account("acc_root", { providerRules: { types: new Map(), terms: [], importPrefixes: [] } });
    expect(await authz.code(read)).toBe("VALID");
  });

  it("is held to the endpoints of the key and of its parent key", async () => {
    const authz = tree();
    const parent = authz.key("acc_sub", { endpoints: [{ name: "read", resource: "weather.read" }] });
    const sub = authz.key("acc_sub", { kind: "SUB", parentKeyId: parent.id });
    for (const { presented } of [parent, sub]) {
      expect(await authz.code({ presented, resource: "weather.read" })).toBe("VALID");
      expect(await authz.code({ presented, resource: "weather.list" })).toBe("SCOPE_DENIED");
    }
  });

  it("stays within the ceilings of the account that a master key names", async () => {
    const authz = tree();
    const { presented } = authz.key("acc_org", { kind: "MASTER" });
    const read = { presented, resource: "weather.read" };
    expect(await authz.code({ ...read, account: "acc_sub" })).toBe("VALID");
    authz.account("acc_sub", { scopeCeiling: ["orders.**"] });
    expect(await authz.code({ ...read, account: "acc_sub" })).toBe("SCOPE_DENIED");
    expect(await authz.code({ presented, account: "acc_sub" })).toBe("VALID");
    expect(await authz.code(read)).toBe("VALID");
  });

  it("does not change with what has no say in it", () => {
    const authz = tree();
    const roles = () => new Map([["reader", ["weather.read"]]]);
    authz.account("acc_org", { roles: roles() });
    const entry = keyed(authz, authz.key("acc_sub", { roles: ["reader"], scopes: [] }));
    const { grant } = entry;
    authz.account("acc_org", { labels: { a: "b" }, roles: roles(), slug: "renamed" });
    expect(entry.grant).toBe(grant);
    authz.account("acc_org", { roles: new Map() });
    expect(entry.grant).not.toBe(grant);
    expect([grant, entry.grant].map((each) => each.allows("weather.read"))).toEqual([true, false]);
  });
});

describe("who sees a key", () => {
  it("is a verifier of its account or above, unless that account is isolated from those below", async () => {
    const authz = tree();
    const own = authz.key("acc_sub");
    const key = authz.key("acc_org");
    const verifier = keyed(authz, key);
    expect(await authz.code(own, verifier)).toBe("VALID");
    await authz.activity.flush();
    expect(authz.reported.map((uses) => [...uses.keys()])).toEqual([[key.id, own.id]]);
    authz.account("acc_org", { isolated: true });
    expect(await authz.code(own, verifier)).toBe("NOT_FOUND");
    expect(await authz.code(authz.key("acc_org"), verifier)).toBe("VALID");
    expect(await authz.code(own)).toBe("VALID");
  });
});

describe("the account that a call names", () => {
  it("is named by every slug that it has or had, by master and account keys", async () => {
    const authz = tree();
    const master = authz.key("acc_org", { kind: "MASTER" });
    const own = authz.key("acc_sub");
    authz.account("acc_sub", { slug: "squad", formerSlugs: ["team"] });
    for (const account of ["squad", "team"]) {
      for (const { presented } of [master, own]) {
        const { code, target } = await authz.verify({ presented, account });
        expect([code, target?.[0]?.id]).toEqual(["VALID", "acc_sub"]);
      }
    }
    expect(await authz.code({ ...own, account: "crew" })).toBe("TARGET_NOT_FOUND");
  });

  it("is the organization by each of its slugs, whoever below has the same", async () => {
    const authz = tree();
    authz.account("acc_org", { slug: "acme-global", formerSlugs: ["acme"] });
    authz.account("acc_former", { parentId: "acc_org", slug: "acme" });
    authz.account("acc_current", { parentId: "acc_org", slug: "squad", formerSlugs: ["acme-global"] });
    for (const account of ["acme", "acme-global"]) {
      for (const kind of ["MASTER", "ACCOUNT"] as const) {
        const { presented } = authz.key("acc_org", { kind });
        expect((await authz.verify({ presented, account })).target?.[0]?.id).toBe("acc_org");
        const below = account === "acme" ? "acc_former" : "acc_current";
        const own = { presented: authz.key(below, { kind }).presented, account };
        expect(await authz.code(own)).toBe("TARGET_NOT_FOUND");
      }
    }
  });

  it("is out of reach of a key whose own account is isolated", async () => {
    const authz = tree();
    const { presented } = authz.key("acc_org", { kind: "MASTER" });
    expect(await authz.code({ presented, account: "team" })).toBe("VALID");
    authz.account("acc_org", { isolated: true });
    expect(await authz.code({ presented, account: "team" })).toBe("TARGET_NOT_FOUND");
  });
});

describe("terms", () => {
  const withTerms = (gates: string[]) => {
    const authz = tree();
    const terms = [{ document: "tos", version: "2", gates }];
    authz.account("acc_root", { providerRules: { types: new Map(), terms, importPrefixes: [] } });
    return authz;
  };

  it("close everything until the organization has accepted their version", async () => {
    const authz = withTerms([]);
    const { presented } = authz.key("acc_sub");
    expect(await authz.code({ presented })).toBe("TERMS_REQUIRED");
    authz.account("acc_org", { acceptedTerms: new Map([["tos", "1"]]) });
    expect(await authz.code({ presented, resource: "weather.read" })).toBe("TERMS_REQUIRED");
    authz.account("acc_org", { acceptedTerms: new Map([["tos", "2"]]) });
    expect(await authz.code({ presented })).toBe("VALID");
    expect(await authz.code(authz.key("acc_root"))).toBe("VALID");
  });

  it("close what they gate, and nothing else", async () => {
    const authz = withTerms(["orders.**"]);
    const { presented } = authz.key("acc_sub");
    expect(await authz.code({ presented, resource: "orders.create" })).toBe("TERMS_REQUIRED");
    expect(await authz.code({ presented, resource: "weather.read" })).toBe("VALID");
    expect(await authz.code({ presented })).toBe("VALID");
  });
});

describe("the address and the integration of a call", () => {
  it("must be allowed by the key and by its parent key", async () => {
    const authz = tree();
    const parent = authz.key("acc_sub", { ipAllow: ["192.0.2.0/24"], deniedIntegrations: ["zapier"] });
    const sub = authz.key("acc_sub", {
      kind: "SUB",
      parentKeyId: parent.id,
      ipDeny: ["192.0.2.66/32"],
      deniedIntegrations: ["make"],
    });
    const from = (address: string | undefined) => ({ ...sub, address });
    expect(await authz.code(from("192.0.2.1"))).toBe("VALID");
    for (const address of ["192.0.2.66", "198.51.100.1", undefined]) {
      expect(await authz.code(from(address))).toBe("ADDRESS_DENIED");
    }
    for (const [integration, code] of [
      ["make", "INTEGRATION_DENIED"],
      ["zapier", "INTEGRATION_DENIED"],
      ["n8n", "VALID"],
    ]) {
      expect(await authz.code({ ...from("192.0.2.1"), integration: integration! })).toBe(code);
    }
    const free = { ...parent, address: "192.0.2.66", integration: "make" };
    expect(await authz.code(free)).toBe("VALID");
  });
});

describe("an HTTP call", () => {
  const shop = (...paths: string[]) => ({
    name: "shop",
    endpoints: paths.map((path) => ({ name: path, method: "GET", path, resource: "orders.read" })),
  });

  it("takes the resource that the catalog says, now", async () => {
    const authz = tree();
    authz.apis.set("shop", shop("/orders/{id}"));
    const all = authz.key("acc_sub");
    const none = authz.key("acc_sub", { scopes: ["!orders.read"] });
    const get = (path: string) => ({ http: { method: "GET", path } });
    expect(await authz.code({ ...all, ...get("/orders/7?x=1") })).toBe("VALID");
    expect(await authz.code({ ...none, ...get("/orders/7") })).toBe("SCOPE_DENIED");
    expect(await authz.code({ ...all, ...get("/orders") })).toBe("SCOPE_DENIED");
    expect(await authz.code({ ...all, ...get("/orders/../orders/7") })).toBe("SCOPE_DENIED");
    authz.api("shop", shop("/orders"));
    expect(await authz.code({ ...all, ...get("/orders") })).toBe("VALID");
    expect(await authz.code({ ...all, ...get("/orders/7") })).toBe("SCOPE_DENIED");
    authz.api("shop", undefined);
    expect(await authz.code({ ...all, ...get("/orders") })).toBe("SCOPE_DENIED");
    expect(authz.denials).toContainEqual(["SCOPE_DENIED", "orders.read"]);
  });

  it("that matches nothing is told so, without its query and not all of a long path", async () => {
    const authz = tree();
    authz.apis.set("shop", shop("/orders"));
    const key = authz.key("acc_sub", { endpoints: [{ name: "/other", resource: "orders.read" }] });
    const reason = async (path: string) =>
      (await authz.verify({ ...key, http: { method: "GET", path } })).reason;
    expect(await reason("/x?token=secret")).toBe("no endpoint of the catalog matches GET /x");
    expect(await reason(`/${"x".repeat(8000)}`)).toBe(
      `no endpoint of the catalog matches GET /${"x".repeat(99)}…`,
    );
    expect(await reason("/orders")).toBe("the resource is outside the key's scopes");
  });

  it("is held to the endpoints of the key and of its parent key, also among those of one resource", async () => {
    const authz = tree();
    authz.apis.set("shop", shop("/orders", "/orders/{id}"));
    const held = (name: string) => ({ endpoints: [{ name, resource: "orders.read" }] });
    const free = authz.key("acc_sub");
    const listing = authz.key("acc_sub", held("/orders"));
    const subOfListing = authz.key("acc_sub", { kind: "SUB", parentKeyId: listing.id });
    const listingBelowFree = authz.key("acc_sub", { kind: "SUB", parentKeyId: free.id, ...held("/orders") });
    const nothing = authz.key("acc_sub", { kind: "SUB", parentKeyId: listing.id, ...held("/orders/{id}") });
    const codes = async ({ presented }: { presented: string }) => {
      const got: string[] = [];
      for (const path of ["/orders", "/orders/7", "/orders?a=1"]) {
        got.push(await authz.code({ presented, http: { method: "GET", path } }));
      }
      return got;
    };
    expect(await codes(free)).toEqual(["VALID", "VALID", "VALID"]);
    for (const key of [listing, subOfListing, listingBelowFree]) {
      // The second follows a call whose path through the charges is at hand.
      expect(await codes(key)).toEqual(["VALID", "SCOPE_DENIED", "VALID"]);
      expect(await authz.code({ ...key, resource: "orders.read" })).toBe("VALID");
    }
    expect(await codes(nothing)).toEqual(["SCOPE_DENIED", "SCOPE_DENIED", "SCOPE_DENIED"]);
  });
});

it("a call for a key in doubt is told at once where too many wait already", async () => {
  const authz = tree();
  const key = authz.key("acc_sub");
  keyed(authz, key).doubtedAtProof = 1;
  const verifier = new Verifier(authz.options);
  let asked = 0;
  verifier.waiters.hold = async () => {
    asked++;
    return undecidableFor("overload");
  };
  const { code, retryAfterMs } = await verifier.verify(callOf(key), authz.provider);
  expect([code, retryAfterMs, asked]).toEqual(["INDETERMINATE", 100, 1]);
});

describe("an imported key", () => {
  const imported = "legacy_live_abcdefghijklmnopqrstuvwxyz";
  const setUp = () => {
    const authz = tree();
    const rules = { types: new Map(), terms: [], importPrefixes: ["legacy_"] };
    authz.account("acc_root", { providerRules: rules });
    const put = (presented: string, node: Partial<KeyNode> = {}) =>
      authz.changeKey("key_imported", {
        accountId: "acc_sub",
        secretHashes: [hashSecret(presented)],
        ...node,
      });
    // Any key will do for the cache to know the root.
    keyed(authz, authz.key("acc_root"));
    return { authz, put };
  };

  it("works as any other, and is read once", async () => {
    const { authz, put } = setUp();
    put(imported);
    const call = { presented: imported, resource: "weather.read" };
    expect([await authz.code(call), await authz.code(call), authz.hashReads]).toEqual(["VALID", "VALID", 1]);
    put(imported, { status: "DISABLED" });
    expect(await authz.code(call)).toBe("DISABLED");
    put(imported, { status: "ENABLED", scopes: ["orders.read"] });
    expect(await authz.code(call)).toBe("SCOPE_DENIED");
    put("legacy_rotated", {
      retiringHashes: [{ hash: hashSecret(imported), untilMs: authz.now.wallMs + 10 }],
    });
    expect(await authz.code({ presented: imported })).toBe("VALID");
    authz.now.wallMs += 10;
    expect(await authz.code({ presented: imported })).toBe("NOT_FOUND");
    put(imported, { status: "REVOKED", secretHashes: [], retiringHashes: [] });
    expect([await authz.code(call), authz.hashReads]).toEqual(["NOT_FOUND", 1]);
  });

  it("is found as soon as it was imported, though it was asked for before", async () => {
    const { authz, put } = setUp();
    expect(await authz.code({ presented: imported })).toBe("NOT_FOUND");
    expect([await authz.code({ presented: imported }), authz.hashReads]).toEqual(["NOT_FOUND", 1]);
    put(imported);
    expect(await authz.code({ presented: imported })).toBe("VALID");
  });

  it("is not looked for where nothing begins like it", async () => {
    const { authz, put } = setUp();
    put("other_live_1");
    expect([await authz.code({ presented: "other_live_1" }), authz.hashReads]).toEqual(["NOT_FOUND", 0]);
  });

  it("costs identity a bounded number of questions where there is none, and is then no denial", async () => {
    const { authz, put } = setUp();
    put(imported);
    expect(await authz.code({ presented: imported })).toBe("VALID");
    const codes: string[] = [];
    for (let i = 0; i < 20; i++) codes.push(await authz.code({ presented: `legacy_junk_${i}` }));
    expect(codes).toEqual([...Array(5).fill("NOT_FOUND"), ...Array(15).fill("INDETERMINATE")]);
    expect(authz.hashReads).toBe(6);
    // What is known goes on working.
    expect(await authz.code({ presented: imported })).toBe("VALID");
    authz.now.monotonicMs += 100;
    expect(await authz.code({ presented: "legacy_junk_20" })).toBe("NOT_FOUND");
  });
});

describe("a beat", () => {
  it("is use of a key that works now, and meets no limit and no scope", async () => {
    const authz = tree();
    const { id, presented } = authz.key("acc_sub", { scopes: [] });
    const beat = { presented, resource: "", needs: [] };
    const charged = authz.charged;
    expect(await authz.code(beat)).toBe("VALID");
    await authz.activity.flush();
    expect([authz.charged, authz.reported.at(-1)?.has(id)]).toEqual([charged, true]);
    authz.changeKey(id, { status: "DISABLED" });
    authz.now.wallMs += 1000;
    const reports = authz.reported.length;
    expect(await authz.code(beat)).toBe("DISABLED");
    await authz.activity.flush();
    expect(authz.reported.length).toBe(reports);
  });
});

describe("the order of the codes", () => {
  it("is that of the checks: what comes first is told", async () => {
    const authz = tree();
    const terms = [{ document: "tos", version: "2", gates: [] }];
    const providerRules = { types: new Map(), terms, importPrefixes: [] };
    authz.account("acc_root", { providerRules });
    authz.account("acc_sub", { status: "SUSPENDED" });
    authz.account("acc_other", { parentId: "acc_root", organizationId: "acc_other" });
    const { id, presented } = authz.key("acc_sub", {
      kind: "MASTER",
      status: "DISABLED",
      ipAllow: ["192.0.2.0/24"],
      deniedIntegrations: ["zapier"],
      scopes: ["orders.read"],
    });
    const call = { presented, resource: "weather.read", account: "acc_other", integration: "zapier" };
    const codes = [await authz.code(call)];
    authz.changeKey(id, { status: "ENABLED" });
    codes.push(await authz.code(call));
    authz.account("acc_sub", { status: "ACTIVE" });
    codes.push(await authz.code(call));
    authz.account("acc_org", { acceptedTerms: new Map([["tos", "2"]]) });
    codes.push(await authz.code(call));
    codes.push(await authz.code({ ...call, account: "" }));
    codes.push(await authz.code({ ...call, account: "", address: "192.0.2.1" }));
    codes.push(await authz.code({ ...call, account: "", address: "192.0.2.1", integration: "" }));
    expect(authz.charged).toBe(0);
    authz.changeKey(id, { scopes: ["**"] });
    codes.push(await authz.code({ ...call, account: "", address: "192.0.2.1", integration: "" }));
    expect(codes).toEqual([
      "DISABLED",
      "ACCOUNT_SUSPENDED",
      "TERMS_REQUIRED",
      "TARGET_NOT_FOUND",
      "ADDRESS_DENIED",
      "INTEGRATION_DENIED",
      "SCOPE_DENIED",
      "VALID",
    ]);
    await authz.activity.flush();
    expect(authz.reported.map((uses) => [...uses.keys()])).toEqual([[id]]);
  });

  it("is the same where limits are too old to charge by: what is denied is denied", async () => {
    const authz = tree();
    const meteringProof = { ...authz.options.meteringProof, ageMs: () => 1001 };
    const verifier = new Verifier({ ...authz.options, meteringProof });
    const code = async (call: Partial<VerifyCall>) =>
      (await verifier.verify(callOf(call), authz.provider)).code;
    const { id, presented } = authz.key("acc_sub", { scopes: ["orders.read"] });
    expect(await code({ presented })).toBe("INDETERMINATE");
    expect(await code({ presented, needs: [] })).toBe("VALID");
    expect(await code({ presented, resource: "weather.read" })).toBe("SCOPE_DENIED");
    authz.changeKey(id, { status: "REVOKED" });
    expect(await code({ presented })).toBe("NOT_FOUND");
    expect(authz.charged).toBe(0);
  });
});
