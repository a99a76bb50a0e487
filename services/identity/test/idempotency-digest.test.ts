import { createHash, generateKeyPairSync } from "node:crypto";
import { type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { AccountService, KeyKind, KeyService, SigningAlgorithm } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

/*
 * Every field of a create is part of what its idempotency key stands for: two requests that differ in one field only
 * are two bodies. The fields come from the protos, so one that is added without a row here fails.
 */

let system: System;
let master: Caller;
const ids = { organization: "", lab: "", one: "", two: "" };

beforeAll(async () => {
  system = await startSystem();
  await system.sql.query("UPDATE account SET import_prefixes = '{pk_,sk_}' WHERE parent_id IS NULL");
  const organization = await system.root.accounts.createAccount({ name: "Bodies" }, timely);
  ids.organization = organization.account!.id;
  master = system.as(organization.secret);
  ids.lab = (await master.accounts.createAccount({ name: "lab" }, timely)).account!.id;
  for (const name of ["one", "two"] as const) {
    ids[name] = (await master.keys.createKey({ name }, timely)).key!.id;
  }
});
afterAll(() => system?.stop());

/** What two requests say that differ in one field only; what both have besides, where it must. */
interface Row {
  readonly both?: object;
  readonly one?: object;
  readonly other: object;
}

const labels = { one: { labels: { a: "1" } }, other: { labels: { a: "2" } } };
const roles = { one: { roles: ["auditor"] }, other: { roles: ["developer"] } };
const scopes = { one: { scopes: ["a"] }, other: { scopes: ["b"] } };
const later = { seconds: 4_000_000_000n, nanos: 0 };
const latest = { seconds: 4_000_000_000n, nanos: 1_000_000 };
const MINUTE = { seconds: 60n, nanos: 0 };

function publicKey(): string {
  return generateKeyPairSync("ed25519")
    .publicKey.export({ type: "spki", format: "der" })
    .subarray(-32)
    .toString("base64");
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

const ed25519 = { algorithm: SigningAlgorithm.ED25519, publicKey: publicKey() };
const hmac = { algorithm: SigningAlgorithm.HMAC_SHA256 };

const createKeyRows: Record<string, () => Row> = {
  account: () => ({ other: { account: ids.lab } }),
  parent_key: () => ({ one: { parentKey: ids.one }, other: { parentKey: ids.two } }),
  kind: () => ({ other: { kind: KeyKind.MASTER } }),
  name: () => ({ other: { name: "another" } }),
  roles: () => roles,
  scopes: () => scopes,
  labels: () => labels,
  not_before: () => ({ other: { notBefore: later } }),
  expires_at: () => ({ one: { expiresAt: later }, other: { expiresAt: latest } }),
  endpoints: () => ({ other: { endpoints: ["none"] } }),
  ip_allow: () => ({ one: { ipAllow: ["10.0.0.0/8"] }, other: { ipAllow: ["10.0.0.0/9"] } }),
  ip_deny: () => ({ one: { ipDeny: ["10.0.0.0/8"] }, other: { ipDeny: ["10.0.0.0/9"] } }),
  denied_integrations: () => ({ other: { deniedIntegrations: ["none"] } }),
  "signing.algorithm": () => ({
    one: { signing: hmac },
    other: { signing: { algorithm: SigningAlgorithm.HMAC_SHA512 } },
  }),
  "signing.public_key": () => ({
    one: { signing: ed25519 },
    other: { signing: { ...ed25519, publicKey: publicKey() } },
  }),
  "signing.strict_replay": () => ({
    one: { signing: hmac },
    other: { signing: { ...hmac, strictReplay: true } },
  }),
  require_heartbeat: () => ({ other: { requireHeartbeat: true } }),
  heartbeat_timeout: () => ({ both: { requireHeartbeat: true }, other: { heartbeatTimeout: MINUTE } }),
};

const firstKey = (one: object, other: object): Row => ({
  one: { firstKey: one },
  other: { firstKey: other },
});
const profile = (field: string) => () => ({
  one: { profile: { [field]: "a" } },
  other: { profile: { [field]: "b" } },
});

const createAccountRows: Record<string, () => Row> = {
  parent: () => ({ other: { parent: ids.organization } }),
  name: () => ({ other: { name: "another" } }),
  slug: () => ({ other: { slug: "slug" } }),
  plan: () => ({ other: { plan: "default" } }),
  "profile.company": profile("company"),
  "profile.vat": profile("vat"),
  "profile.country": profile("country"),
  "profile.address": profile("address"),
  "profile.city": profile("city"),
  "profile.state": profile("state"),
  "profile.zip_code": profile("zipCode"),
  labels: () => labels,
  "first_key.name": () => firstKey({ name: "a" }, { name: "b" }),
  "first_key.kind": () => firstKey({ kind: KeyKind.ACCOUNT }, { kind: KeyKind.MASTER }),
  "first_key.roles": () => firstKey(roles.one, roles.other),
  "first_key.scopes": () => firstKey(scopes.one, scopes.other),
  type: () => ({ other: { type: "some-type" } }),
};

let imports = 0;
/** An import of one key, which no other has. */
function importOf(one: object, other: object): Row {
  imports++;
  const key = { name: `imported ${imports}`, prefix: "pk_", hash: hashOf(`imported ${imports}`) };
  return { one: { keys: [{ ...key, ...one }] }, other: { keys: [{ ...key, ...other }] } };
}
const imported = (one: object, other: object) => () => importOf(one, other);

const importKeysRows: Record<string, () => Row> = {
  account: () => ({ ...importOf({}, {}), other: { account: ids.lab } }),
  "keys.hash": imported({ hash: hashOf("a") }, { hash: hashOf("b") }),
  "keys.prefix": imported({}, { prefix: "sk_" }),
  "keys.start": imported({}, { start: "abc" }),
  "keys.name": imported({}, { name: "another" }),
  "keys.kind": imported({}, { kind: KeyKind.MASTER }),
  "keys.roles": imported(roles.one, roles.other),
  "keys.scopes": imported(scopes.one, scopes.other),
  "keys.labels": imported(labels.one, labels.other),
  "keys.expires_at": imported({}, { expiresAt: later }),
};

/** The paths of all fields of a message, into the messages of ours that it holds. */
function fieldsOf(message: DescMessage): string[] {
  return message.fields.flatMap((field) => {
    const inner = field.fieldKind === "message" || field.fieldKind === "list" ? field.message : undefined;
    if (inner === undefined || !inner.typeName.startsWith("gatehouse.")) return [field.name];
    return fieldsOf(inner).map((name) => `${field.name}.${name}`);
  });
}

interface Repeated {
  readonly input: DescMessage;
  readonly rows: Record<string, () => Row>;
  readonly create: (request: object) => Promise<unknown>;
}

const repeated: Record<string, Repeated> = {
  CreateKey: {
    input: KeyService.method.createKey.input,
    rows: createKeyRows,
    create: (request) => master.keys.createKey({ name: "key", ...request }, timely),
  },
  CreateAccount: {
    input: AccountService.method.createAccount.input,
    rows: createAccountRows,
    create: (request) => system.root.accounts.createAccount({ name: "account", ...request }, timely),
  },
  ImportKeys: {
    input: KeyService.method.importKeys.input,
    rows: importKeysRows,
    create: (request) => master.keys.importKeys(request, timely),
  },
};

describe.each(Object.entries(repeated))("the body of a %s", (rpc, { input, rows, create }) => {
  it("has a row here for each of its fields", () => {
    const fields = fieldsOf(input).filter((name) => name !== "idempotency_key");
    expect(Object.keys(rows).sort()).toEqual(fields.sort());
  });

  it.each(Object.keys(rows))("is another one with another %s", async (field) => {
    const { both = {}, one = {}, other } = rows[field]!();
    const named = rpc === "CreateKey" ? { name: field.replace(".", " ") } : {};
    const idempotencyKey = field;
    const first = { ...named, ...both, ...one, idempotencyKey };
    expect(await reasonOf(create(first))).toBe("OK");
    // Once more as it was, so that nothing but the field makes it another.
    expect(await create(first)).toMatchObject({ replayed: true });
    expect(await reasonOf(create({ ...first, ...other }))).toBe("IDEMPOTENCY_MISMATCH");
  });
});

it("every create that takes an idempotency key is here", () => {
  const creating = [AccountService, KeyService].flatMap(({ methods }) => methods);
  const taking = creating.filter(({ input }) =>
    input.fields.some(({ name, scalar }) => name === "idempotency_key" && scalar === ScalarType.STRING),
  );
  expect(taking.map(({ name }) => name).sort()).toEqual(Object.keys(repeated).sort());
});
