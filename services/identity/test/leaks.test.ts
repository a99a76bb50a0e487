import { createHash, randomBytes } from "node:crypto";
import { KeyFormat, parsePepper } from "@gatehouse/keys";
import { KeyKind, KeyStatus, LeakAction } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let root: Caller;
let acme: Caller;
let acmeId: string;
/** A subaccount of Acme. */
let teamId: string;
/** A partner's key, which may tell of leaks and do nothing else. */
let partner: Caller;
let globex: Caller;
let names = 0;
/** How far the clock of identity is ahead. */
let aheadMs = 0;
const DAY_MS = 24 * 60 * 60 * 1000;

beforeAll(async () => {
  system = await startSystem({ nowMs: () => Date.now() + aheadMs });
  root = system.root;
  await system.sql.query("UPDATE account SET import_prefixes = '{pk_}' WHERE parent_id IS NULL");
  const made = await root.accounts.createAccount({ name: "Acme" }, timely);
  acme = system.as(made.secret);
  acmeId = made.account!.id;
  teamId = (await acme.accounts.createAccount({ name: "Team" }, timely)).account!.id;
  const reporter = { name: "partner", scopes: ["gatehouse.keys.report-leak"] };
  partner = system.as((await acme.keys.createKey(reporter, timely)).secret);
  globex = system.as((await root.accounts.createAccount({ name: "Globex" }, timely)).secret);
});
afterAll(() => system?.stop());

const newKey = async (caller = acme, rest: object = {}) => {
  const { key, secret } = await caller.keys.createKey({ name: `key ${names++}`, ...rest }, timely);
  return { id: key!.id, secret };
};
const report = (caller: Caller, ...secrets: string[]) => caller.keys.reportLeak({ secrets }, timely);
const statusOf = async (id: string) => (await root.keys.getKey({ key: id }, timely)).key!.status;
const policy = (accountId: string, value: string | null) =>
  system.sql.query("UPDATE account SET leak_policy = $2 WHERE id = $1", [accountId, value]);
const eventsOf = async (id: string) =>
  (
    await system.sql.query(
      "SELECT * FROM audit_event WHERE target = $1 AND action = 'gatehouse.keys.report-leak' ORDER BY id",
      [id],
    )
  ).rows;

describe("a leaked key", () => {
  it("is disabled where nobody says otherwise, and told of", async () => {
    const { id, secret } = await newKey();
    const { reports } = await report(partner, secret);
    expect(reports).toMatchObject([{ keyId: id, action: LeakAction.DISABLED }]);
    expect(await statusOf(id)).toBe(KeyStatus.DISABLED);
    expect(await reasonOf(system.as(secret).keys.whoAmI({}, timely))).toBe("KEY_DISABLED");
    expect((await report(partner, secret)).reports).toMatchObject([
      { keyId: id, action: LeakAction.DISABLED },
    ]);
    expect(await eventsOf(id)).toHaveLength(1);
  });

  it("is told of once a day where nothing else is done about it, and each time that it is stopped", async () => {
    const { id, secret } = await newKey();
    const reported = async (...policies: (string | null)[]) => {
      for (const value of policies) {
        await policy(acmeId, value);
        await report(partner, secret);
      }
      return (await eventsOf(id)).map(({ after }) => after.leak.policy);
    };
    expect(await reported("NOTIFY", "NOTIFY")).toEqual(["NOTIFY"]);
    expect(await reported(null, null, "NOTIFY")).toEqual(["NOTIFY", "DISABLE"]);
    aheadMs = DAY_MS;
    expect(await reported(null, null)).toEqual(["NOTIFY", "DISABLE", "DISABLE"]);
    await acme.keys.enableKey({ key: id }, timely);
    expect(await reported(null)).toHaveLength(4);
    expect(await reported("REVOKE")).toHaveLength(5);
    await policy(acmeId, null);
    aheadMs = 0;
  });

  it("is dealt with as the strictest of its accounts says", async () => {
    const { DISABLED, REVOKED, NOTIFIED } = LeakAction;
    const become = {
      [DISABLED]: KeyStatus.DISABLED,
      [REVOKED]: KeyStatus.REVOKED,
      [NOTIFIED]: KeyStatus.ENABLED,
    };
    for (const [root, organization, team, action] of [
      [null, "NOTIFY", null, NOTIFIED],
      [null, "NOTIFY", "DISABLE", DISABLED],
      [null, "DISABLE", "NOTIFY", DISABLED],
      [null, "DISABLE", "REVOKE", REVOKED],
      [null, "REVOKE", "NOTIFY", REVOKED],
      ["REVOKE", "NOTIFY", "DISABLE", REVOKED],
      ["NOTIFY", null, null, NOTIFIED],
    ] as const) {
      await system.sql.query("UPDATE account SET leak_policy = $1 WHERE parent_id IS NULL", [root]);
      await policy(acmeId, organization);
      await policy(teamId, team);
      const { id, secret } = await newKey(acme, { account: teamId });
      expect((await report(partner, secret)).reports).toMatchObject([{ keyId: id, action }]);
      expect(await statusOf(id)).toBe(become[action]);
    }
    await policy(acmeId, null);
    await policy(teamId, null);
    await system.sql.query("UPDATE account SET leak_policy = NULL WHERE parent_id IS NULL");
  });

  it("takes its sub-keys with it", async () => {
    await policy(acmeId, "REVOKE");
    const parent = await newKey();
    const sub = await newKey(acme, { parentKey: parent.id });
    await report(partner, parent.secret);
    expect(await statusOf(sub.id)).toBe(KeyStatus.REVOKED);
    await policy(acmeId, null);
  });

  it("is found wherever it stands in what was found", async () => {
    const keys = [await newKey(), await newKey(), await newKey()];
    const [glued, quoted, twice] = keys.map(({ secret }) => secret);
    const strings = [
      `xx${glued}yy`,
      `curl -H "authorization: Bearer ${quoted}"\n# nothing else`,
      `${twice} and ${twice}`,
    ];
    const { reports } = await report(partner, ...strings);
    expect(reports.map(({ keyId }) => keyId)).toEqual(keys.map(({ id }) => id));
  });

  it("is dealt with where others stand beside it too", async () => {
    const keys = [await newKey(), await newKey(), await newKey()];
    await report(partner, keys.map(({ secret }) => secret).join("\n"));
    for (const { id } of keys) expect(await statusOf(id)).toBe(KeyStatus.DISABLED);
  });

  it("in its grace is one still, and none after a rotation without", async () => {
    const { id, secret } = await newKey();
    const rotated = await acme.keys.rotateKey({ key: id, grace: { seconds: 3600n, nanos: 0 } }, timely);
    expect((await report(partner, secret)).reports).toMatchObject([{ keyId: id }]);
    await acme.keys.enableKey({ key: id }, timely);
    await acme.keys.rotateKey({ key: id }, timely);
    for (const old of [secret, rotated.secret]) {
      expect((await report(partner, old)).reports).toMatchObject([{ keyId: "", action: 0 }]);
    }
    expect(await statusOf(id)).toBe(KeyStatus.ENABLED);
  });

  it("that was made elsewhere is found by its hash, quoted or bare", async () => {
    const secrets = [0, 1].map(() => `pk_${randomBytes(16).toString("hex")}`);
    const { keys } = await acme.keys.importKeys(
      {
        keys: secrets.map((secret) => ({
          hash: createHash("sha256").update(secret).digest("hex"),
          prefix: "pk_",
          name: `imported ${names++}`,
        })),
      },
      timely,
    );
    const { reports } = await report(partner, secrets[0]!, `token=${secrets[1]}&next`);
    expect(reports.map(({ keyId }) => keyId)).toEqual(keys.map(({ id }) => id));
  });

  it("may be a master key, may be reported by any kind of key, and may report itself", async () => {
    const master = await newKey(acme, { kind: KeyKind.MASTER });
    expect((await report(partner, master.secret)).reports).toMatchObject([{ keyId: master.id }]);
    const parent = await newKey(acme, { scopes: ["gatehouse.keys.report-leak"] });
    const sub = await newKey(acme, { parentKey: parent.id });
    expect((await report(system.as(sub.secret), sub.secret)).reports).toMatchObject([{ keyId: sub.id }]);
    expect(await statusOf(sub.id)).toBe(KeyStatus.DISABLED);
  });

  it("that is the provider's last master key is only told of: nobody could undo anything any more", async () => {
    const first = await newKey(root, { kind: KeyKind.MASTER, scopes: ["**"] });
    const both = await report(root, first.secret, system.rootKey);
    const actions = both.reports.map(({ action }) => action);
    expect(actions).toEqual([LeakAction.DISABLED, LeakAction.NOTIFIED]);
    await root.keys.whoAmI({}, timely);
    expect(await statusOf(first.id)).toBe(KeyStatus.DISABLED);
  });

  it("of two reports at once is dealt with by both", async () => {
    const { id, secret } = await newKey();
    const both = await Promise.all([report(partner, secret), report(partner, secret)]);
    expect(both.map(({ reports }) => reports[0]!.keyId)).toEqual([id, id]);
    expect(await eventsOf(id)).toHaveLength(1);
  });
});

describe("a report", () => {
  it("says of foreign keys what it says of nonsense, and does nothing to them", async () => {
    const { id, secret } = await newKey(globex);
    const forged = `${secret.slice(0, -1)}${secret.endsWith("A") ? "B" : "A"}`;
    const { reports } = await report(partner, secret, forged, "hunter2", "pk_", system.rootKey);
    expect(new Set(reports.map((each) => JSON.stringify(each))).size).toBe(1);
    expect(reports[0]).toMatchObject({ keyId: "", action: LeakAction.UNSPECIFIED });
    expect(await statusOf(id)).toBe(KeyStatus.ENABLED);
    expect(await eventsOf(id)).toEqual([]);
    // The provider has everybody in its subtree.
    expect((await report(root, secret)).reports).toMatchObject([{ keyId: id }]);
  });

  it("of an account key reaches the subtree of its account, and not into what is isolated from it", async () => {
    const below = await newKey(acme, { account: teamId });
    expect((await report(partner, below.secret)).reports).toMatchObject([{ keyId: below.id }]);
    await acme.keys.enableKey({ key: below.id }, timely);
    await system.sql.query("UPDATE account SET isolated = true WHERE id = $1", [acmeId]);
    expect((await report(partner, below.secret)).reports).toMatchObject([{ keyId: "" }]);
    await system.sql.query("UPDATE account SET isolated = false WHERE id = $1", [acmeId]);
  });

  it("takes the scope", async () => {
    const { secret } = await newKey(acme, { roles: ["auditor"] });
    expect(await reasonOf(report(system.as(secret), "x"))).toBe("SCOPE_DENIED");
  });

  it("is on record with its source, without what leaked, wherever it was quoted", async () => {
    const { id, secret } = await newKey();
    const imported = `pk_${randomBytes(16).toString("hex")}`;
    await acme.keys.importKeys(
      {
        keys: [
          {
            hash: createHash("sha256").update(imported).digest("hex"),
            prefix: "pk_",
            name: `imported ${names++}`,
          },
        ],
      },
      timely,
    );
    const source = `https://paste.test/?a=${secret}&b=${imported}`;
    await partner.keys.reportLeak({ secrets: [`see ${secret}`, `${imported}!`], source }, timely);
    const [event] = await eventsOf(id);
    expect(event).toMatchObject({
      outcome: "OK",
      after: { status: "DISABLED", leak: { policy: "DISABLE" } },
    });
    expect(event.after.leak.source).toMatch(/^https:\/\/paste\.test\/\?a=.*…&b=…$/);
    const { rows } = await system.sql.query("SELECT * FROM audit_event");
    const text = JSON.stringify(rows);
    expect(text).not.toContain(secret.slice(28));
    expect(text).not.toContain(imported);
  });

  it("hides every credential in its source, also those that it does not report", async () => {
    const { id, secret } = await newKey();
    const other = await newKey(globex);
    const imported = Array.from({ length: 25 }, () => `pk_${randomBytes(5).toString("hex")}`);
    const source = `log: ${imported.join("&")} and ${other.secret}`;
    await partner.keys.reportLeak({ secrets: [secret], source }, timely);
    const [event] = await eventsOf(id);
    for (const hidden of [...imported, other.secret.slice(28)]) {
      expect(event.after.leak.source).not.toContain(hidden);
    }
    expect(event.after.leak.source).toMatch(/^log: (…&){24}… and /);
  });

  it("is of so many keys that it holds nobody up, whether they are there or not", async () => {
    const format = new KeyFormat({ peppers: [parsePepper(system.environment.GATEHOUSE_PEPPERS!)] });
    const minted = Array.from({ length: 101 }, () => format.mint("ACCOUNT").presented);
    const strings = (secrets: readonly string[]) =>
      Array.from({ length: 11 }, (_, at) => secrets.slice(at * 10, (at + 1) * 10).join("\n"));
    expect(await badFieldsOf(report(partner, ...strings(minted)))).toEqual(["secrets"]);
    expect(await reasonOf(report(partner, ...strings(minted).slice(0, -1)))).toBe("OK");
  });

  it("of imported keys is bounded like that too, and tells nothing of foreign ones", async () => {
    const secrets = Array.from({ length: 101 }, () => `pk_${randomBytes(8).toString("hex")}`);
    const keys = secrets.map((secret) => ({
      hash: createHash("sha256").update(secret).digest("hex"),
      prefix: "pk_",
      name: `imported ${names++}`,
    }));
    const imported = await root.keys.importKeys({ keys }, timely);
    const strings = [`${secrets[0]} ${secrets[1]}`, ...secrets.slice(2)];
    expect(await badFieldsOf(report(root, ...strings))).toEqual(["secrets"]);
    expect(await statusOf(imported.keys[0]!.id)).toBe(KeyStatus.ENABLED);
    const { reports } = await report(partner, ...strings);
    expect(reports.every(({ keyId }) => keyId === "")).toBe(true);
  });

  it("is bounded", async () => {
    const bad = (request: object) => badFieldsOf(partner.keys.reportLeak(request, timely));
    expect(await bad({ secrets: [] })).toEqual(["secrets"]);
    expect(await bad({ secrets: Array(101).fill("x") })).toEqual(["secrets"]);
    expect(await bad({ secrets: ["x", "", "y".repeat(1001)], source: "s".repeat(501) })).toEqual([
      "secrets[1]",
      "secrets[2]",
      "source",
    ]);
    const hostile = ["\0", "‮gth_acc_", "gth_acc_".repeat(125), "pk_".repeat(333), "é".repeat(1000)];
    expect(await reasonOf(report(partner, ...hostile))).toBe("OK");
  });
});
