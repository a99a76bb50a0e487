import { createHash, randomBytes } from "node:crypto";
import { KeyKind, KeyStatus } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let root: Caller;
/** An organization and its master key. */
let acme: Caller;
let acmeId: string;
let globex: Caller;

const sha256 = (secret: string) => createHash("sha256").update(secret).digest();
const made = (prefix = "pk_") => `${prefix}${randomBytes(16).toString("hex")}`;
let names = 0;

/** What an import of a key made elsewhere says. */
function imported(secret: string, rest: object = {}) {
  return { hash: sha256(secret).toString("hex"), prefix: "pk_", name: `import ${names++}`, ...rest };
}

async function rotatedAndRevoked(key: string): Promise<void> {
  await acme.keys.rotateKey({ key, grace: { seconds: 3600n } }, timely);
  await acme.keys.revokeKey({ key }, timely);
}

async function reportedAndRevoked(secret: string): Promise<void> {
  const policy = "UPDATE account SET leak_policy = $2 WHERE id = $1";
  await system.sql.query(policy, [acmeId, "REVOKE"]);
  await acme.keys.reportLeak({ secrets: [secret] }, timely);
  await system.sql.query(policy, [acmeId, null]);
}

/** All that a refused call answers. */
function refusalOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => "OK",
    ({ code, reason, message, violations }) => ({ code, reason, message, violations }),
  );
}

async function organization(name: string) {
  const { account, secret } = await root.accounts.createAccount({ name }, timely);
  return { id: account!.id, caller: system.as(secret) };
}

beforeAll(async () => {
  system = await startSystem();
  root = system.root;
  await system.sql.query("UPDATE account SET import_prefixes = '{pk_,live-}' WHERE parent_id IS NULL");
  const [first, second] = [await organization("Acme"), await organization("Globex")];
  acme = first.caller;
  acmeId = first.id;
  globex = second.caller;
});
afterAll(() => system?.stop());

describe("an imported key", () => {
  it("is taken by its hash, hexadecimal or base64url, and shown by its first characters", async () => {
    const [hex, base64url] = [made(), made("live-")];
    const { keys, replayed } = await acme.keys.importKeys(
      {
        keys: [
          imported(hex, { start: hex.slice(3, 7), roles: ["auditor"], labels: { team: "a" } }),
          imported(base64url, { prefix: "live-", hash: sha256(base64url).toString("base64url") }),
        ],
      },
      timely,
    );
    expect(replayed).toBe(false);
    expect(keys.map(({ masked, imported, kind }) => ({ masked, imported, kind }))).toEqual([
      { masked: `${hex.slice(0, 7)}…`, imported: true, kind: KeyKind.ACCOUNT },
      { masked: "live-…", imported: true, kind: KeyKind.ACCOUNT },
    ]);
    for (const [index, secret] of [hex, base64url].entries()) {
      const me = await system.as(secret).keys.whoAmI({}, timely);
      expect(me.key!.id).toBe(keys[index]!.id);
      expect(me.accountId).toBe(acmeId);
    }
    const reader = system.as(hex);
    expect((await reader.accounts.getAccount({}, timely)).account!.id).toBe(acmeId);
    expect(await reasonOf(reader.keys.createKey({ name: "x" }, timely))).toBe("SCOPE_DENIED");
  });

  it.each<[string, (key: string, secret: string) => Promise<unknown>]>([
    ["revoked", (key) => acme.keys.revokeKey({ key }, timely)],
    ["rotated away", (key) => acme.keys.rotateKey({ key }, timely)],
    ["revoked after its rotation", (key) => rotatedAndRevoked(key)],
    ["reported as leaked", (_, secret) => reportedAndRevoked(secret)],
  ])("stops when it is %s, and nobody ever has its credential again", async (_, end) => {
    const [secret, living] = [made(), made()];
    const { keys } = await acme.keys.importKeys({ keys: [imported(secret), imported(living)] }, timely);
    await end(keys[0]!.id, secret);
    expect(await reasonOf(system.as(secret).keys.whoAmI({}, timely))).toBe("CREDENTIAL_INVALID");
    for (const caller of [globex, acme]) {
      const again = (of: string) =>
        caller.keys.importKeys({ keys: [imported(of, { name: "again" })] }, timely);
      expect(await reasonOf(again(secret))).toBe("CREDENTIAL_TAKEN");
      // What says the same of a living one does not tell the two apart.
      expect(await refusalOf(again(secret))).toEqual(await refusalOf(again(living)));
    }
    expect(await reasonOf(system.as(secret).keys.whoAmI({}, timely))).toBe("CREDENTIAL_INVALID");
  });

  it("that is rotated away works in its grace, and is nobody else's meanwhile", async () => {
    const secret = made();
    const { keys } = await acme.keys.importKeys({ keys: [imported(secret)] }, timely);
    const id = keys[0]!.id;
    const rotated = await acme.keys.rotateKey({ key: id, grace: { seconds: 3600n, nanos: 0 } }, timely);
    for (const valid of [secret, rotated.secret]) {
      expect((await system.as(valid).keys.whoAmI({}, timely)).key!.id).toBe(id);
    }
    const hashes = [sha256(secret).toString("base64url")];
    expect((await system.feed.resolveHashes({ hashes }, timely)).keyIds).toEqual([id]);
    const again = globex.keys.importKeys({ keys: [imported(secret)] }, timely);
    expect(await reasonOf(again)).toBe("CREDENTIAL_TAKEN");
    await acme.keys.rotateKey({ key: id }, timely);
    expect(await reasonOf(system.as(secret).keys.whoAmI({}, timely))).toBe("CREDENTIAL_INVALID");
  });

  it("is found by followers by its hash, in one snapshot; what is none is not", async () => {
    const secret = made();
    const { keys } = await acme.keys.importKeys({ keys: [imported(secret)] }, timely);
    const hash = sha256(secret).toString("base64url");
    const minted = await acme.keys.createKey({ name: "minted" }, timely);
    const hashes = [
      sha256("nobody's").toString("base64url"),
      hash,
      sha256(minted.secret).toString("base64url"),
    ];
    const answer = await system.feed.resolveHashes({ hashes }, timely);
    expect(answer.keyIds).toEqual(["", keys[0]!.id, ""]);
    expect(answer.keys.map(({ id, secretHashes }) => ({ id, secretHashes }))).toEqual([
      { id: keys[0]!.id, secretHashes: [hash] },
    ]);
    expect(answer.accounts.map(({ parentId }) => parentId)).toContain("");
    expect(await badFieldsOf(system.feed.resolveHashes({ hashes: ["x"] }, timely))).toEqual(["hashes[0]"]);
  });

  it("that nobody has is refused as any other credential, whatever it looks like", async () => {
    for (const secret of [made(), made("live-"), made("other-"), `pk_${"x".repeat(2000)}`, "pk_", "é"]) {
      expect(await reasonOf(system.as(encodeURIComponent(secret)).keys.whoAmI({}, timely))).toBe(
        "CREDENTIAL_INVALID",
      );
    }
  });

  it("works at once where it was tried too early", async () => {
    const secret = made();
    expect(await reasonOf(system.as(secret).keys.whoAmI({}, timely))).toBe("CREDENTIAL_INVALID");
    await acme.keys.importKeys({ keys: [imported(secret)] }, timely);
    expect(await reasonOf(system.as(secret).keys.whoAmI({}, timely))).toBe("OK");
  });
});

describe("an import", () => {
  it("is all or nothing, and names every item that is in the way", async () => {
    const [taken, free] = [made(), made()];
    await acme.keys.importKeys({ keys: [imported(taken, { name: "there already" })] }, timely);
    const names = acme.keys.importKeys(
      {
        keys: [
          imported(free),
          imported(made(), { name: "there already" }),
          imported(made(), { name: "new" }),
        ],
      },
      timely,
    );
    expect(await reasonOf(names)).toBe("NAME_TAKEN");
    expect(await badFieldsOf(names)).toEqual(["keys[1].name"]);
    expect(await reasonOf(system.as(free).keys.whoAmI({}, timely))).toBe("CREDENTIAL_INVALID");
    const { keys } = await acme.keys.listKeys({ pageSize: 500 }, timely);
    expect(keys.filter(({ name }) => name === "new")).toEqual([]);
  });

  it("of a credential that is taken tells nobody by whom", async () => {
    const secret = made();
    await acme.keys.importKeys({ keys: [imported(secret)] }, timely);
    const answers = await Promise.all(
      [acme, globex].map((caller) =>
        caller.keys.importKeys({ keys: [imported(made()), imported(secret)] }, timely).then(
          () => "OK",
          ({ reason, message, violations }) => JSON.stringify({ reason, message, violations }),
        ),
      ),
    );
    expect(answers[0]).toContain("CREDENTIAL_TAKEN");
    expect(answers[0]).toContain("keys[1].hash");
    expect(answers[1]).toBe(answers[0]);
  });

  it("takes each credential once, of imports into two organizations at once", async () => {
    const secrets = Array.from({ length: 5 }, () => made());
    for (const secret of secrets) {
      const outcomes = await Promise.all(
        [acme, globex].map((caller) =>
          reasonOf(caller.keys.importKeys({ keys: [imported(secret)] }, timely)),
        ),
      );
      expect(outcomes.toSorted()).toEqual(["CREDENTIAL_TAKEN", "OK"]);
    }
  });

  it("is repeated under its idempotency key, and nothing else is", async () => {
    const request = { keys: [imported(made()), imported(made())], idempotencyKey: "import-1" };
    const first = await acme.keys.importKeys(request, timely);
    const again = await acme.keys.importKeys(request, timely);
    expect(again.replayed).toBe(true);
    expect(again.keys.map(({ id }) => id)).toEqual(first.keys.map(({ id }) => id));
    await acme.keys.revokeKey({ key: first.keys[0]!.id }, timely);
    const later = await acme.keys.importKeys(request, timely);
    expect(later.keys.map(({ status }) => status)).toEqual([KeyStatus.REVOKED, KeyStatus.ENABLED]);
    const other = acme.keys.importKeys({ ...request, keys: request.keys.slice(1) }, timely);
    expect(await reasonOf(other)).toBe("IDEMPOTENCY_MISMATCH");
  });

  it("needs room in the plan for all of it", async () => {
    const { id, caller } = await organization("Small");
    const small = {
      title: "Small",
      depth: 1,
      accounts: 5,
      keysPerAccount: 3,
      subKeysPerAccount: 1,
      features: [],
    };
    await system.sql.query(
      `INSERT INTO definition SELECT 'plan', id, 'small', 'pln_00000000000000000009', $1, now(), now()
       FROM account WHERE parent_id IS NULL`,
      [JSON.stringify(small)],
    );
    await system.sql.query("UPDATE account SET plan = 'small' WHERE id = $1", [id]);
    const import_ = (count: number) =>
      reasonOf(
        caller.keys.importKeys({ keys: Array.from({ length: count }, () => imported(made())) }, timely),
      );
    // The organization's first key is one of the three.
    expect(await import_(3)).toBe("PLAN_LIMIT");
    expect(await import_(2)).toBe("OK");
    expect(await import_(1)).toBe("PLAN_LIMIT");
  });

  it("gives nothing that the caller does not hold, and no master key by another kind", async () => {
    const master = await acme.keys.importKeys({ keys: [imported(made(), { kind: KeyKind.MASTER })] }, timely);
    expect(master.keys[0]!.kind).toBe(KeyKind.MASTER);
    const { secret } = await acme.keys.createKey(
      { name: "importer", scopes: ["gatehouse.keys.import", "orders.**"] },
      timely,
    );
    const importer = system.as(secret);
    const as = (rest: object) =>
      reasonOf(importer.keys.importKeys({ keys: [imported(made(), rest)] }, timely));
    expect(await as({ kind: KeyKind.MASTER })).toBe("KEY_KIND_DENIED");
    expect(await as({ kind: KeyKind.SUB })).toBe("INVALID_FIELD");
    expect(await as({ roles: ["administrator"] })).toBe("GRANT_EXCEEDS_HOLDER");
    expect(await as({ scopes: ["gatehouse.keys.**"] })).toBe("GRANT_EXCEEDS_HOLDER");
    expect(await as({ scopes: ["gatehouse.keys.import", "anything.else"] })).toBe("OK");
  });

  it("into a foreign account answers as into none", async () => {
    const request = { keys: [imported(made())] };
    const foreign = await acme.accounts.getAccount({ account: acmeId }, timely);
    const into = (account: string) =>
      globex.keys
        .importKeys({ ...request, account }, timely)
        .catch(({ message, reason }) => ({ message, reason }));
    expect(await into(foreign.account!.id)).toEqual(await into("acc_00000000000000000000"));
    expect(await into(acmeId)).toMatchObject({ reason: "NOT_FOUND" });
  });

  it("names every bad field at once", async () => {
    const good = imported(made());
    const bad = [
      { ...good, hash: "abc", name: "", start: "ü" },
      { ...imported(made()), start: "0123456789abc", roles: ["No Role"], scopes: ["a..b"] },
      { ...imported(made()), name: good.name },
      { ...imported(made()), hash: good.hash },
      good,
    ];
    expect((await badFieldsOf(acme.keys.importKeys({ keys: bad }, timely))).toSorted()).toEqual([
      "keys[0].hash",
      "keys[0].name",
      "keys[0].start",
      "keys[1].roles[0]",
      "keys[1].scopes[0]",
      "keys[1].start",
      "keys[4].hash",
      "keys[4].name",
    ]);
    const later = [
      imported(made(), { prefix: "sk_" }),
      imported(made(), { roles: ["auditor", "nobody"] }),
      imported(made(), { expiresAt: { seconds: 1n, nanos: 0 } }),
    ];
    expect(await badFieldsOf(acme.keys.importKeys({ keys: later }, timely))).toEqual([
      "keys[0].prefix",
      "keys[1].roles[1]",
      "keys[2].expires_at",
    ]);
    expect(await badFieldsOf(acme.keys.importKeys({ keys: [] }, timely))).toEqual(["keys"]);
    const many = Array.from({ length: 501 }, () => imported(made()));
    expect(await badFieldsOf(acme.keys.importKeys({ keys: many }, timely))).toEqual(["keys"]);
  });

  it("is refused where it would take too long to see that all keys are covered", async () => {
    const denies = Array.from({ length: 130 }, (_, at) => `!gatehouse.y${at}.**`);
    const wide = { name: `wide ${names++}`, scopes: ["gatehouse.**", ...denies] };
    const importer = system.as((await acme.keys.createKey(wide, timely)).secret);
    const keys = Array.from({ length: 20 }, (_, key) => {
      const allows = Array.from({ length: 20 }, (_, at) => `gatehouse.*.x${at}.z${key}.**`);
      return imported(made(), { scopes: [...allows, ...denies] });
    });
    expect(await reasonOf(importer.keys.importKeys({ keys }, timely))).toBe("GRANT_EXCEEDS_HOLDER");
    expect(await reasonOf(importer.keys.importKeys({ keys: keys.slice(0, 2) }, timely))).toBe("OK");
  });

  it("takes five hundred at once", async () => {
    const { caller } = await organization("Many");
    await system.sql.query(
      "UPDATE definition SET body = jsonb_set(body, '{keysPerAccount}', '1000') WHERE kind = 'plan' AND name = 'default'",
    );
    const secrets = Array.from({ length: 500 }, () => made());
    const { keys } = await caller.keys.importKeys(
      { keys: secrets.map((secret) => imported(secret)) },
      timely,
    );
    expect(new Set(keys.map(({ id }) => id)).size).toBe(500);
    expect((await system.as(secrets[499]!).keys.whoAmI({}, timely)).key!.id).toBe(keys[499]!.id);
  });

  it("leaves no credential and no hash in the audit", async () => {
    const secret = made();
    const { keys } = await acme.keys.importKeys({ keys: [imported(secret)] }, timely);
    const { rows } = await system.sql.query("SELECT * FROM audit_event WHERE target = $1", [keys[0]!.id]);
    expect(rows).toMatchObject([{ action: "gatehouse.keys.import", outcome: "OK" }]);
    const text = JSON.stringify(rows);
    for (const shape of [secret, sha256(secret).toString("hex"), sha256(secret).toString("base64url")]) {
      expect(text).not.toContain(shape);
    }
  });
});
