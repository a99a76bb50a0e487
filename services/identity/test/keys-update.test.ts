import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Key, KeyKind, SigningAlgorithm } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let master: Caller;
let nowMs = Date.UTC(2030, 0, 1);

beforeAll(async () => {
  system = await startSystem({ nowMs: () => nowMs, plan: DEFAULT_PLAN });
  await system.root.catalog.createApi(
    {
      name: "weather",
      endpoints: [{ name: "get", title: "Get", method: "GET", path: "/", resource: "weather.read" }],
    },
    timely,
  );
  await system.root.integrations.createIntegration({ name: "zapier" }, timely);
  master = await organization("updates");
});
afterAll(() => system?.stop());

async function organization(name: string, plan = ""): Promise<Caller> {
  return system.as((await system.root.accounts.createAccount({ name, plan }, timely)).secret);
}

async function eventsOf(target: string): Promise<{ action: string; outcome: string }[]> {
  const { rows } = await system.sql.query(
    "SELECT action, outcome FROM audit_event WHERE target = $1 ORDER BY id",
    [target],
  );
  return rows;
}

describe("updating a key", () => {
  it("changes every field, and what the mask names without a value is emptied", async () => {
    const { key, secret } = await master.keys.createKey({ name: "all", scopes: ["a"] }, timely);
    const full = {
      key: key!.id,
      name: "renamed",
      roles: ["developer"],
      scopes: ["weather.**"],
      labels: { a: "1" },
      endpoints: ["get"],
      ipAllow: ["10.0.0.0/8"],
      ipDeny: ["10.0.0.1"],
      deniedIntegrations: ["zapier"],
      notBefore: timestampFromMs(nowMs - 1000),
      expiresAt: timestampFromMs(nowMs + 1000),
      requireHeartbeat: true,
      heartbeatTimeout: durationFromMs(5000),
    };
    const { key: changed } = await master.keys.updateKey(full, timely);
    const { key: id, ipDeny: _, endpoints: __, ...plain } = full;
    expect(changed).toMatchObject({ ...plain, id, ipDeny: ["10.0.0.1/32"] });
    expect(changed!.endpoints).toMatchObject([{ name: "get", title: "Get" }]);
    expect((await master.keys.getKey({ key: id }, timely)).key).toEqual(changed);

    const paths = ["scopes", "labels", "endpoints", "ip_allow", "ip_deny", "denied_integrations"];
    const times = ["not_before", "expires_at", "require_heartbeat"];
    const updateMask = { paths: [...paths, ...times] };
    // What the mask does not name stays, given or not.
    const emptied = await master.keys.updateKey({ key: id, name: "ignored?", updateMask }, timely);
    expect(emptied.key).toMatchObject({
      name: "renamed",
      roles: ["developer"],
      scopes: [],
      labels: {},
      endpoints: [],
      ipAllow: [],
      ipDeny: [],
      deniedIntegrations: [],
      requireHeartbeat: false,
    });
    const { notBefore, expiresAt, heartbeatTimeout } = emptied.key!;
    expect([notBefore, expiresAt, heartbeatTimeout]).toEqual([undefined, undefined, undefined]);
    // The secret is the one of the create all along.
    expect((await system.as(secret).keys.whoAmI({}, timely)).key!.id).toBe(id);
  });

  it("that turns strict replay on keeps since when: the deployment knows nothing of before", async () => {
    const signing = { algorithm: SigningAlgorithm.HMAC_SHA256 };
    const { key } = await master.keys.createKey({ name: "signs", signing }, timely);
    const since = async () => {
      const { rows } = await system.sql.query("SELECT signing FROM key WHERE id = $1", [key!.id]);
      return [rows[0].signing.strictReplay, rows[0].signing.strictSinceMs];
    };
    const turn = (strictReplay: boolean) => master.keys.updateKey({ key: key!.id, strictReplay }, timely);
    expect(await since()).toEqual([false, undefined]);
    const turnedAtMs = nowMs;
    await turn(true);
    expect(await since()).toEqual([true, turnedAtMs]);
    nowMs += 1000;
    await turn(true);
    await master.keys.rotateKey({ key: key!.id }, timely);
    expect(await since(), "said again, and rotated").toEqual([true, turnedAtMs]);
    await turn(false);
    expect(await since()).toEqual([false, undefined]);
    const strict = { name: "strict from the start", signing: { ...signing, strictReplay: true } };
    expect((await master.keys.createKey(strict, timely)).key!.signing!.strictReplay).toBe(true);
  });

  it("that changes nothing answers as it is, and leaves no event", async () => {
    const asked = { name: "same", labels: { a: "1", b: "2" }, expiresAt: timestampFromMs(nowMs + 1000) };
    const { key } = await master.keys.createKey(asked, timely);
    nowMs += 2000;
    // The expiry has passed: saying it again is no change all the same.
    const again = await master.keys.updateKey({ ...asked, key: key!.id }, timely);
    expect(again.key!.updatedAt).toEqual(key!.updatedAt);
    expect((await eventsOf(key!.id)).map(({ action }) => action)).toEqual(["gatehouse.keys.create"]);
    const other = { key: key!.id, expiresAt: timestampFromMs(nowMs - 1) };
    expect(await badFieldsOf(master.keys.updateKey(other, timely))).toEqual(["expires_at"]);
  });

  it("names every field that cannot be", async () => {
    const { key } = await master.keys.createKey({ name: "bad" }, timely);
    const update = (asked: object) => badFieldsOf(master.keys.updateKey({ key: key!.id, ...asked }, timely));
    expect(await update({})).toEqual(["update_mask"]);
    expect(await update({ updateMask: { paths: ["kind"] } })).toEqual(["update_mask"]);
    expect(await update({ updateMask: { paths: ["name"] } })).toEqual(["name"]);
    expect(await update({ roles: ["king"] })).toEqual(["roles[0]"]);
    expect(await update({ endpoints: ["nowhere"] })).toEqual(["endpoints[0]"]);
    expect(await update({ strictReplay: true })).toEqual(["strict_replay"]);
    expect(await update({ heartbeatTimeout: durationFromMs(5000) })).toEqual(["heartbeat_timeout"]);
    expect(await update({ scopes: ["a..b"], ipAllow: ["x"], labels: { "": "" } })).toEqual([
      "scopes[0]",
      "labels",
      "ip_allow[0]",
    ]);
    await master.keys.createKey({ name: "taken" }, timely);
    expect(await reasonOf(master.keys.updateKey({ key: key!.id, name: "taken" }, timely))).toBe("NAME_TAKEN");
    await master.keys.revokeKey({ key: key!.id }, timely);
    expect(await reasonOf(master.keys.updateKey({ key: key!.id, name: "x" }, timely))).toBe("FINAL_STATE");
  });

  it("of a signing key says whether nonces are strict, and the algorithm stays", async () => {
    const signing = { algorithm: SigningAlgorithm.HMAC_SHA256 };
    const { key } = await master.keys.createKey({ name: "signing", signing }, timely);
    const strict = await master.keys.updateKey({ key: key!.id, strictReplay: true }, timely);
    expect(strict.key!.signing).toMatchObject({ ...signing, strictReplay: true });
  });
});

describe("nobody raises their own", () => {
  it("a key renames itself and changes its labels, and nothing else of itself", async () => {
    const made = await master.keys.createKey({ name: "self", roles: ["administrator"] }, timely);
    const self = system.as(made.secret).keys;
    const key = made.key!.id;
    await self.updateKey({ key, name: "self 2", labels: { a: "1" } }, timely);
    const raises = [
      { scopes: ["orders.**"] },
      { ipAllow: ["10.0.0.0/8"] },
      { expiresAt: timestampFromMs(nowMs + 1) },
      { requireHeartbeat: true },
      { updateMask: { paths: ["roles"] } },
    ];
    for (const asked of raises) {
      expect(await reasonOf(self.updateKey({ key, ...asked }, timely))).toBe("OWN_CEILING");
    }
    expect((await eventsOf(key)).filter(({ outcome }) => outcome === "OWN_CEILING")).toHaveLength(
      raises.length,
    );
    // Saying what is there already raises nothing.
    await self.updateKey({ key, name: "self 3", roles: ["administrator"] }, timely);
  });

  it("who widens a key must cover it; who only takes away need not", async () => {
    const { secret } = await master.keys.createKey({ name: "admin", roles: ["administrator"] }, timely);
    const admin = system.as(secret).keys;
    const target = {
      name: "funds",
      roles: ["fund-manager", "developer"],
      ipAllow: ["10.0.0.0/8", "192.0.2.0/24"],
      ipDeny: ["10.1.0.0/16"],
      deniedIntegrations: ["zapier"],
      notBefore: timestampFromMs(nowMs - 10_000),
      expiresAt: timestampFromMs(nowMs + 10_000),
    };
    const key = (await master.keys.createKey(target, timely)).key!.id;
    const paths = (...named: string[]) => ({ updateMask: { paths: named } });
    const wider = [
      { roles: ["administrator", "fund-manager"] },
      paths("ip_allow"),
      paths("ip_deny"),
      paths("denied_integrations"),
      paths("not_before"),
      paths("expires_at"),
      { expiresAt: timestampFromMs(nowMs + 20_000) },
      { ipAllow: ["10.0.0.0/7"] },
    ];
    for (const asked of wider) {
      expect(await reasonOf(admin.updateKey({ key, ...asked }, timely))).toBe("GRANT_EXCEEDS_HOLDER");
    }
    const narrower = [
      { name: "funds 2" },
      { roles: ["fund-manager"] },
      { ipAllow: ["10.0.0.0/8"] },
      { ipDeny: ["10.1.0.0/16", "10.2.0.0/16"] },
      { expiresAt: timestampFromMs(nowMs + 5000) },
      { endpoints: ["get"] },
    ];
    for (const asked of narrower) await admin.updateKey({ key, ...asked }, timely);
    // The endpoints keep it from everything of Gatehouse: taking them away widens.
    expect(await reasonOf(admin.updateKey({ key, ...paths("endpoints") }, timely))).toBe(
      "GRANT_EXCEEDS_HOLDER",
    );
    await master.keys.updateKey({ key, ...paths("endpoints") }, timely);
  });

  it("a master key is changed by master keys only, and sub-keys change nothing", async () => {
    const { secret, key } = await master.keys.createKey(
      { name: "admin 2", roles: ["administrator"] },
      timely,
    );
    const { key: own } = await master.keys.whoAmI({}, timely);
    const admin = system.as(secret).keys;
    expect(await reasonOf(admin.updateKey({ key: own!.id, name: "x" }, timely))).toBe("KEY_KIND_DENIED");
    expect(await reasonOf(admin.rotateKey({ key: own!.id }, timely))).toBe("KEY_KIND_DENIED");
    const sub = await admin.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
    const below = system.as(sub.secret).keys;
    for (const id of [sub.key!.id, key!.id]) {
      expect(await reasonOf(below.updateKey({ key: id, name: "x" }, timely))).toBe("KEY_KIND_DENIED");
      expect(await reasonOf(below.rotateKey({ key: id }, timely))).toBe("KEY_KIND_DENIED");
    }
  });

  it("what a personal key may do is its member's", async () => {
    const { key } = await master.keys.createKey({ name: "personal", roles: ["developer"] }, timely);
    await system.sql.query("UPDATE key SET user_id = 'usr_1' WHERE id = $1", [key!.id]);
    const update = (asked: object) => badFieldsOf(master.keys.updateKey({ key: key!.id, ...asked }, timely));
    expect(await update({ roles: ["auditor"], scopes: ["a"] })).toEqual(["roles", "scopes"]);
    expect(await update({ name: "personal 2", ipAllow: ["10.0.0.0/8"] })).toEqual([]);
  });

  it("a list of only denies never comes to mean everything but those", async () => {
    const asked = { name: "trimmed", roles: ["developer"], scopes: ["!orders.**"] };
    const { key } = await master.keys.createKey(asked, timely);
    const paths = (...names: string[]) => ({ key: key!.id, updateMask: { paths: names } });
    expect(await badFieldsOf(master.keys.updateKey(paths("roles"), timely))).toEqual(["scopes"]);
    await master.keys.updateKey(
      { ...paths("roles", "scopes"), scopes: ["weather.**", "!orders.**"] },
      timely,
    );
  });

  it("after a downgrade a key keeps what it has, and gets no more of it", async () => {
    const features = { depth: 1, accounts: 5n, keysPerAccount: 5n, subKeysPerAccount: 5n };
    await system.root.plans.createPlan({ name: "lesser", title: "Lesser", ...features }, timely);
    const { keys } = await organization("downgraded");
    const { key } = await keys.createKey({ name: "scoped", scopes: ["a", "b"] }, timely);
    await system.root.accounts.updateAccount({ account: "downgraded", plan: "lesser" }, timely);
    const update = (asked: object) => reasonOf(keys.updateKey({ key: key!.id, ...asked }, timely));
    expect(await update({ name: "renamed", scopes: ["a"] })).toBe("OK");
    expect(await update({ scopes: ["a", "c"] })).toBe("PLAN_FEATURE");
    expect(await update({ endpoints: ["get"] })).toBe("PLAN_FEATURE");
  });
});

describe("narrowing a parent key", () => {
  it("binds its sub-keys at once, in scopes, addresses and time, and widening gives it back", async () => {
    const made = await master.keys.createKey({ name: "parent", roles: ["auditor"] }, timely);
    const parent = made.key!.id;
    const sub = await master.keys.createKey({ name: "child", parentKey: parent }, timely);
    const child = system.as(sub.secret).keys;
    const me = async () => (await child.whoAmI({}, timely)).key!;
    await child.listKeys({}, timely);

    await master.keys.updateKey({ key: parent, scopes: ["!gatehouse.keys.read"] }, timely);
    expect(await reasonOf(child.listKeys({}, timely))).toBe("SCOPE_DENIED");
    expect((await me()).scopes).toEqual(["**"]);
    expect(scopesSaidBy(await me(), parent)).toEqual(["!gatehouse.keys.read"]);

    const elsewhere = { key: parent, ipAllow: ["203.0.113.0/24"] };
    await master.keys.updateKey(elsewhere, timely);
    expect(await reasonOf(child.whoAmI({}, timely))).toBe("ADDRESS_DENIED");
    await master.keys.updateKey({ key: parent, updateMask: { paths: ["ip_allow", "scopes"] } }, timely);
    await child.listKeys({}, timely);

    const later = timestampFromMs(nowMs + 1000);
    await master.keys.updateKey({ key: parent, expiresAt: later }, timely);
    expect((await me()).effective!.expiresAt).toEqual(later);
    expect((await me()).expiresAt).toBeUndefined();
    nowMs += 1000;
    expect(await reasonOf(child.whoAmI({}, timely))).toBe("KEY_EXPIRED");
    const { key } = await master.keys.getKey({ key: sub.key!.id }, timely);
    expect(key!.effective!.state).toBe("EXPIRED");
  });
});

describe("what is foreign", () => {
  it("answers UpdateKey and RotateKey with the same bytes as what does not exist", async () => {
    const other = await system.root.accounts.createAccount({ name: "foreign" }, timely);
    const { secret } = await system.root.accounts.createAccount({ name: "curious" }, timely);
    const foreign = other.key!.id;
    const missing = `${foreign.slice(0, -6)}000000`;
    for (const [method, body] of [
      ["UpdateKey", { name: "x", endpoints: ["get"] }],
      ["RotateKey", { publicKey: "x" }],
    ] as const) {
      const answers = await Promise.all(
        [foreign, missing].map((key) => system.json(secret, `KeyService/${method}`, { key, ...body })),
      );
      expect(answers[0]!.status, method).toBe(404);
      expect(answers[0], method).toEqual(answers[1]);
    }
  });
});

function scopesSaidBy({ effective }: Key, nodeId: string): string[] {
  return effective!.scopes.find((level) => level.nodeId === nodeId)!.scopes;
}
