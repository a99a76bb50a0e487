import { readFileSync } from "node:fs";
import { join } from "node:path";
import { secretContext } from "@gatehouse/events/webhook";
import { newEncryptionKey, newPepper, parseEncryptionKey, Sealer } from "@gatehouse/keys";
import { KeyService, SigningAlgorithm } from "@gatehouse/proto/identity";
import { createLog, grpcClient, serve } from "@gatehouse/service";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createIdentity, readIdentityConfig } from "../src/index.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

const log = createLog({ name: "test", level: "silent" });
const page = readFileSync(join(import.meta.dirname, "../../../docs/secrets.md"), "utf8");
const queries = [...page.matchAll(/```sql\n(.*?)```/gs)].map(([, query]) => query!);
/** The queries that operators are told to run: what the old key seals, what the old pepper tags. */
const sealedByOld = queries.find((query) => query.includes("sealed_secret"))!;
const taggedByOld = queries.find((query) => query.includes("retiring_hashes"))!;

let system: System;
/** What was made under the first secrets. */
let old: Record<"key" | "unused" | "hmacId" | "hmacSecret" | "accountId" | "webhookSecret", string>;
let rotated: Record<"GATEHOUSE_PEPPERS" | "GATEHOUSE_ENCRYPTION_KEYS", string>;
const newKeys = { pepper: newPepper("2"), encryption: newEncryptionKey("2") };
const started: { close(): unknown }[] = [];

/** Another replica on the same database. */
async function start(settings: object) {
  const identity = await createIdentity(readIdentityConfig({ ...system.environment, ...settings }), log);
  const { routes, guard } = identity;
  const anyPort = { host: "127.0.0.1", port: 0 };
  const server = await serve({ grpc: anyPort, http: anyPort, routes, guard, log });
  started.unshift(server, identity);
  const as = (key: string) => {
    const client = grpcClient(KeyService, server.grpcAddress, { headers: { "x-api-key": key } });
    started.unshift(client);
    return client;
  };
  return { as };
}

/** How many sealed values there are that are not sealed with the new key. */
async function stale(): Promise<number> {
  const { rows } = await system.sql.query(sealedByOld);
  return Number(rows[0].old);
}

async function sealedOf(id: string): Promise<string> {
  const { rows } = await system.sql.query("SELECT signing FROM key WHERE id = $1", [id]);
  return rows[0].signing.keys[0].value;
}

beforeAll(async () => {
  system = await startSystem(
    {},
    { GATEHOUSE_PEPPERS: newPepper("1"), GATEHOUSE_ENCRYPTION_KEYS: newEncryptionKey("1") },
  );
  const { root, environment } = system;
  const { account } = await root.accounts.createAccount({ name: "Acme" }, timely);
  const key = await root.keys.createKey({ name: "old", scopes: ["**"] }, timely);
  const unused = await root.keys.createKey({ name: "old and unused", roles: ["auditor"] }, timely);
  const hmac = await root.keys.createKey(
    { name: "hmac", roles: ["auditor"], signing: { algorithm: SigningAlgorithm.HMAC_SHA256 } },
    timely,
  );
  await root.accounts.setUpstreamCredential(
    { account: account!.id, header: "authorization", value: "Bearer upstream" },
    timely,
  );
  const webhook = await root.webhooks.createWebhook(
    { name: "hook", url: "https://hooks.example.com/x", events: ["key.leaked"] },
    timely,
  );
  old = {
    key: key.secret,
    unused: unused.key!.id,
    hmacId: hmac.key!.id,
    hmacSecret: hmac.secret,
    accountId: account!.id,
    webhookSecret: webhook.secret,
  };
  rotated = {
    GATEHOUSE_PEPPERS: `${newKeys.pepper},${environment.GATEHOUSE_PEPPERS}`,
    GATEHOUSE_ENCRYPTION_KEYS: `${newKeys.encryption},${environment.GATEHOUSE_ENCRYPTION_KEYS}`,
  };
});
afterAll(async () => {
  for (const each of started) await each.close();
  await system?.stop();
});

describe("rotating the encryption key", () => {
  it("seals everything anew, and nothing of it is a change", async () => {
    expect(await stale()).toBe(3);
    const sealed = await sealedOf(old.hmacId);
    const before = await system.identity.changeLog.head();
    await start({ GATEHOUSE_ENCRYPTION_KEYS: rotated.GATEHOUSE_ENCRYPTION_KEYS });
    await expect.poll(stale, { timeout: 10_000 }).toBe(0);
    expect(await system.identity.changeLog.head()).toEqual(before);
    const again = await sealedOf(old.hmacId);
    expect(again.split(".")[3]).toBe(sealed.split(".")[3]);
  });

  it("leaves what was sealed, and it opens without the old key", async () => {
    const sealer = new Sealer([parseEncryptionKey(newKeys.encryption)]);
    const secret = sealer.open(await sealedOf(old.hmacId), old.hmacId);
    expect(old.hmacSecret).toContain(secret);
    const { rows } = await system.sql.query("SELECT upstream_credential FROM account WHERE id = $1", [
      old.accountId,
    ]);
    expect(sealer.open(rows[0].upstream_credential, old.accountId)).toContain("Bearer upstream");
    const { rows: hooks } = await system.sql.query("SELECT * FROM webhook");
    const { account_id: accountId, name, sealed_secret: sealed } = hooks[0];
    expect(sealer.open(sealed, secretContext({ accountId, name }))).toBe(old.webhookSecret);
    const { as } = await start({ GATEHOUSE_ENCRYPTION_KEYS: newKeys.encryption });
    expect(await reasonOf(as(old.key).whoAmI({}, timely))).toBe("OK");
  });

  it("leaves alone what no key opens, and seals the rest", async () => {
    const lost = new Sealer([parseEncryptionKey(newEncryptionKey("9"))]).seal("x", old.accountId);
    await system.sql.query("UPDATE account SET upstream_credential = $2 WHERE id = $1", [
      old.accountId,
      lost,
    ]);
    // Still first with the old key: what it seals meanwhile is found by the next walk.
    await system.root.keys.createKey(
      { name: "meanwhile", roles: ["auditor"], signing: { algorithm: SigningAlgorithm.HMAC_SHA512 } },
      timely,
    );
    expect(await stale()).toBe(2);
    await start({ GATEHOUSE_ENCRYPTION_KEYS: rotated.GATEHOUSE_ENCRYPTION_KEYS });
    await expect.poll(stale, { timeout: 10_000 }).toBe(1);
    const { rows } = await system.sql.query("SELECT upstream_credential FROM account WHERE id = $1", [
      old.accountId,
    ]);
    expect(rows[0].upstream_credential).toBe(lost);
  });
});

describe("rotating the pepper", () => {
  it("tags new keys with the new one, and keys tagged with the old one work on", async () => {
    const { as } = await start({ GATEHOUSE_PEPPERS: rotated.GATEHOUSE_PEPPERS });
    expect(await reasonOf(as(old.key).whoAmI({}, timely))).toBe("OK");
    const made = await as(old.key).createKey({ name: "new", roles: ["auditor"] }, timely);
    expect(made.secret.at(-9)).toBe("2");
    expect(await reasonOf(as(made.secret).whoAmI({}, timely))).toBe("OK");

    // Without the old one, its keys are what no key ever was.
    const { as: without } = await start({ GATEHOUSE_PEPPERS: newKeys.pepper });
    expect(await reasonOf(without(old.key).whoAmI({}, timely))).toBe("CREDENTIAL_INVALID");
    expect(await reasonOf(without(made.secret).whoAmI({}, timely))).toBe("OK");
  });

  it("leaves keys to be rotated that the documented query finds", async () => {
    const tagged = async () => {
      const since = rotatedAt.toISOString();
      const { rows } = await system.sql.query(taggedByOld.replaceAll("2026-01-01T00:00:00Z", since));
      return rows.map(({ name }) => name);
    };
    const { rows } = await system.sql.query("SELECT created_at FROM key WHERE name = 'new'");
    const rotatedAt: Date = rows[0].created_at;
    expect(await tagged()).toEqual(expect.arrayContaining(["old", "old and unused"]));
    expect(await tagged()).not.toContain("new");
    expect(await tagged()).not.toContain("hmac");
    const { as } = await start({ GATEHOUSE_PEPPERS: rotated.GATEHOUSE_PEPPERS });
    const grace = { seconds: 1n, nanos: 0 };
    const again = await as(old.key).rotateKey({ key: old.unused, grace }, timely);
    expect(again.secret.at(-9)).toBe("2");
    expect(await tagged()).toContain("old and unused");
    await expect.poll(tagged, { timeout: 10_000 }).not.toContain("old and unused");
  });
});
