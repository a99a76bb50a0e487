import { generateKeyPairSync } from "node:crypto";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { parseEncryptionKey, Sealer } from "@gatehouse/keys";
import { ErrorReason } from "@gatehouse/proto/common";
import { KeyKind, SigningAlgorithm } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let master: Caller;
let nowMs = Date.UTC(2030, 0, 1);

beforeAll(async () => {
  system = await startSystem({
    nowMs: () => nowMs,
    plan: { ...DEFAULT_PLAN, keysPerAccount: 30, subKeysPerAccount: 30 },
  });
  await system.root.catalog.createApi(
    {
      name: "weather",
      endpoints: [
        {
          name: "get-forecast",
          title: "Forecast",
          method: "GET",
          path: "/forecast",
          resource: "weather.forecast",
        },
        {
          name: "get-history",
          title: "History",
          method: "GET",
          path: "/history",
          resource: "weather.history",
        },
      ],
    },
    timely,
  );
  await system.root.integrations.createIntegration({ name: "zapier", deniedToSubKeys: true }, timely);
  await system.root.integrations.createIntegration({ name: "excel" }, timely);
  master = await organization("creator");
});
afterAll(() => system?.stop());

async function organization(name: string, plan = ""): Promise<Caller> {
  return system.as((await system.root.accounts.createAccount({ name, plan }, timely)).secret);
}

describe("creating a key", () => {
  it("stores every field, and shows endpoints by title and addresses in their one spelling", async () => {
    const { key } = await master.keys.createKey(
      {
        name: "whole",
        scopes: ["weather.**"],
        endpoints: ["get-forecast", "get-history", "get-forecast"],
        ipAllow: ["10.1.2.3/8", "10.0.0.0/8", "2001:DB8::1/32", "192.0.2.7"],
        ipDeny: ["::ffff:10.9.9.9"],
        deniedIntegrations: ["excel"],
        notBefore: timestampFromMs(nowMs - 1000),
        expiresAt: timestampFromMs(nowMs + 60_000),
        requireHeartbeat: true,
        labels: { team: "a" },
      },
      timely,
    );
    expect(key).toMatchObject({
      endpoints: [
        { name: "get-forecast", title: "Forecast" },
        { name: "get-history", title: "History" },
      ],
      ipAllow: ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"],
      ipDeny: ["10.9.9.9/32"],
      deniedIntegrations: ["excel"],
      requireHeartbeat: true,
      heartbeatTimeout: durationFromMs(30_000),
      expiresAt: timestampFromMs(nowMs + 60_000),
      labels: { team: "a" },
    });
    expect((await master.keys.getKey({ key: key!.id }, timely)).key).toEqual(key);
    const { keys } = await system.feed.resolveKeys({ keyIds: [key!.id] }, timely);
    expect(keys[0]!.endpoints).toMatchObject([
      { name: "get-forecast", resource: "weather.forecast" },
      { name: "get-history", resource: "weather.history" },
    ]);
    await system.root.catalog.deleteApi({ api: "weather" }, timely);
    const gone = await master.keys.getKey({ key: key!.id }, timely);
    expect(gone.key!.endpoints.map(({ title }) => title)).toEqual(["", ""]);
  });

  it("names every field that cannot be", async () => {
    const many = Array.from({ length: 51 }, (_, n) => `10.0.0.${n}`);
    const wrong = master.keys.createKey(
      {
        name: "x",
        endpoints: Array.from({ length: 101 }, () => "e"),
        ipAllow: ["10.0.0.0/33", "fe80::1%eth0", "10.0.0.1"],
        ipDeny: many,
        deniedIntegrations: Array.from({ length: 51 }, () => "zapier"),
        heartbeatTimeout: durationFromMs(999),
        signing: { algorithm: SigningAlgorithm.ED25519, publicKey: "short" },
      },
      timely,
    );
    expect((await badFieldsOf(wrong)).sort()).toEqual([
      "denied_integrations",
      "endpoints",
      "heartbeat_timeout",
      "ip_allow[0]",
      "ip_allow[1]",
      "ip_deny",
      "signing.public_key",
    ]);
    const undeclared = { name: "x", endpoints: ["nowhere"], deniedIntegrations: ["excel", "telex"] };
    const unknown = await badFieldsOf(master.keys.createKey(undeclared, timely));
    expect(unknown).toEqual(["endpoints[0]", "denied_integrations[1]"]);
  });

  it("a sub-key given no integrations is barred from those that the provider lists", async () => {
    const { key } = await master.keys.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
    expect(key!.deniedIntegrations).toEqual(["zapier"]);
    const other = { name: "sub 2", kind: KeyKind.SUB, deniedIntegrations: ["excel"] };
    expect((await master.keys.createKey(other, timely)).key!.deniedIntegrations).toEqual(["excel"]);
    const account = await master.keys.createKey({ name: "account" }, timely);
    expect(account.key!.deniedIntegrations).toEqual([]);
    const inCapitals = { name: "in capitals", deniedIntegrations: ["Excel", "EXCEL", "zapier"] };
    expect((await master.keys.createKey(inCapitals, timely)).key!.deniedIntegrations).toEqual([
      "excel",
      "zapier",
    ]);
  });

  it("a create that timed out answers its first result, even where its expiry has passed since", async () => {
    const request = { name: "brief", expiresAt: timestampFromMs(nowMs + 1000), idempotencyKey: "brief" };
    const first = await master.keys.createKey(request, timely);
    nowMs += 2000;
    const again = await master.keys.createKey(request, timely);
    expect(again).toMatchObject({ replayed: true, secret: "", key: { id: first.key!.id } });
    expect(again.secretWithheld).toBe(ErrorReason.SECRET_NOT_REPLAYABLE);
    const late = master.keys.createKey({ ...request, idempotencyKey: "late" }, timely);
    expect(await badFieldsOf(late)).toEqual(["expires_at"]);
  });

  it("a plan without a feature refuses what the feature names", async () => {
    await system.root.plans.createPlan(
      { name: "bare", title: "Bare", depth: 1, accounts: 5n, keysPerAccount: 5n, subKeysPerAccount: 5n },
      timely,
    );
    const { keys } = await organization("bare", "bare");
    await system.root.roles.createRole({ name: "reader", scopes: ["weather.read"] }, timely);
    const refused = [
      { scopes: ["a"] },
      { roles: ["reader"] },
      { kind: KeyKind.SUB },
      { signing: { algorithm: SigningAlgorithm.HMAC_SHA256 } },
    ];
    for (const asked of refused) {
      expect(await reasonOf(keys.createKey({ name: "x", ...asked }, timely))).toBe("PLAN_FEATURE");
    }
    await keys.createKey({ name: "x", roles: ["developer"] }, timely);
  });

  it("disabled keys are bounded too, at ten times the enabled ones", async () => {
    await system.root.plans.createPlan(
      { name: "tiny", title: "Tiny", depth: 1, accounts: 5n, keysPerAccount: 2n, subKeysPerAccount: 5n },
      timely,
    );
    const { keys } = await organization("tiny", "tiny");
    for (let n = 1; n < 20; n++) {
      const { key } = await keys.createKey({ name: `n${n}` }, timely);
      await keys.disableKey({ key: key!.id }, timely);
    }
    expect(await reasonOf(keys.createKey({ name: "one more" }, timely))).toBe("PLAN_LIMIT");
    const [, oldest] = (await keys.listKeys({}, timely)).keys;
    await keys.revokeKey({ key: oldest!.id }, timely);
    await keys.createKey({ name: "one more" }, timely);
  });
});

describe("a signing key", () => {
  it("with an HMAC answers its secret once, which is no bearer and is stored sealed", async () => {
    const asked = {
      name: "hmac",
      signing: { algorithm: SigningAlgorithm.HMAC_SHA512, strictReplay: true },
      idempotencyKey: "hmac",
    };
    const { key, secret } = await master.keys.createKey(asked, timely);
    expect(Buffer.from(secret, "base64url")).toHaveLength(32);
    expect(key!.signing).toMatchObject({
      algorithm: SigningAlgorithm.HMAC_SHA512,
      publicKey: "",
      strictReplay: true,
    });
    expect(key!.masked).toBe(key!.id);
    expect(await reasonOf(system.as(secret).keys.whoAmI({}, timely))).toBe("CREDENTIAL_INVALID");
    const again = await master.keys.createKey(asked, timely);
    expect(again).toMatchObject({ secret: "", secretWithheld: ErrorReason.SECRET_NOT_REPLAYABLE });
    const { rows } = await system.sql.query("SELECT * FROM key WHERE id = $1", [key!.id]);
    expect(rows[0].secret_hashes).toEqual([]);
    expect(rows[0].signing.keys).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain(secret);
    const sealer = new Sealer([parseEncryptionKey(system.environment.GATEHOUSE_ENCRYPTION_KEYS!)]);
    expect(sealer.open(rows[0].signing.keys[0].value, key!.id)).toBe(secret);
    const { rows: events } = await system.sql.query("SELECT * FROM audit_event WHERE target = $1", [key!.id]);
    expect(events).toHaveLength(1);
    expect(JSON.stringify(events)).not.toContain(secret);
    expect(JSON.stringify(events)).not.toContain(rows[0].signing.keys[0].value);
  });

  it("with Ed25519 shows its public key and has no secret at all", async () => {
    const publicKey = newPublicKey();
    const signing = { algorithm: SigningAlgorithm.ED25519, publicKey };
    const asked = { name: "ed", signing, idempotencyKey: "ed" };
    const { key, secret } = await master.keys.createKey(asked, timely);
    expect([secret, key!.signing!.publicKey]).toEqual(["", publicKey]);
    const again = await master.keys.createKey(asked, timely);
    expect(again).toMatchObject({ replayed: true, secretWithheld: ErrorReason.UNSPECIFIED });
    // Under a point of small order anybody signs.
    const weak = [Buffer.alloc(32), Buffer.from("01".padEnd(64, "0"), "hex")];
    for (const bytes of [...weak, Buffer.alloc(31, 7)]) {
      const bad = { name: "weak", signing: { ...signing, publicKey: bytes.toString("base64") } };
      expect(await badFieldsOf(master.keys.createKey(bad, timely))).toEqual(["signing.public_key"]);
    }
    const both = { algorithm: SigningAlgorithm.HMAC_SHA256, publicKey };
    expect(await badFieldsOf(master.keys.createKey({ name: "b", signing: both }, timely))).toEqual([
      "signing.public_key",
    ]);
    const neither = { publicKey };
    expect(await badFieldsOf(master.keys.createKey({ name: "b", signing: neither }, timely))).toEqual([
      "signing.algorithm",
    ]);
  });
});

function newPublicKey(): string {
  const { publicKey } = generateKeyPairSync("ed25519");
  return Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url").toString("base64");
}
