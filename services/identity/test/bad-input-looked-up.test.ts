import { KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let root: Caller;
let acme: Caller;
let acmeId: string;
let nowMs = Date.UTC(2026, 0, 1);

const PAST = { seconds: 1_577_836_800n };

beforeAll(async () => {
  system = await startSystem({ nowMs: () => nowMs });
  root = system.root;
  const made = await root.accounts.createAccount({ name: "Acme" }, timely);
  acme = system.as(made.secret);
  acmeId = made.account!.id;
  await root.accounts.createAccount({ name: "Globex" }, timely);
});
afterAll(() => system?.stop());

async function newKey(request: object) {
  return (await acme.keys.createKey({ name: `key ${Math.random()}`.replace(".", " "), ...request }, timely))
    .key!.id;
}

async function sorted(fields: Promise<string[]>): Promise<string[]> {
  return (await fields).sort();
}

/** With something malformed, which shows before anything is looked up, and without. */
describe("what takes a look-up to be found wrong is named with all the rest", () => {
  it("by CreateAccount", async () => {
    const unknown = { plan: "zz", type: "zz", firstKey: { roles: ["auditor", "nope"] } };
    const looked = ["first_key.roles[1]", "plan", "type"];
    expect(await sorted(badFieldsOf(root.accounts.createAccount({ name: "x", ...unknown }, timely)))).toEqual(
      looked,
    );
    expect(await sorted(badFieldsOf(root.accounts.createAccount(unknown, timely)))).toEqual(
      [...looked, "name"].sort(),
    );
    // A subaccount has no plan, whatever it is called.
    expect(
      await sorted(badFieldsOf(acme.accounts.createAccount({ plan: "default", type: "zz" }, timely))),
    ).toEqual(["name", "plan", "type"]);
  });

  it("by CreateKey", async () => {
    const unknown = {
      expiresAt: PAST,
      roles: ["auditor", "auditor", "nope"],
      endpoints: ["zz"],
      deniedIntegrations: ["qq"],
    };
    const looked = ["denied_integrations[0]", "endpoints[0]", "expires_at", "roles[2]"];
    for (const idempotencyKey of ["", "once"]) {
      const fine = { name: "fine", ...unknown, idempotencyKey };
      expect(await sorted(badFieldsOf(acme.keys.createKey(fine, timely)))).toEqual(looked);
      const nameless = { ...unknown, idempotencyKey };
      expect(await sorted(badFieldsOf(acme.keys.createKey(nameless, timely)))).toEqual(
        [...looked, "name"].sort(),
      );
    }
    const parentKey = await newKey({});
    const master = { name: "master", kind: KeyKind.MASTER, parentKey, roles: ["nope"] };
    expect(await sorted(badFieldsOf(acme.keys.createKey(master, timely)))).toEqual([
      "parent_key",
      "roles[0]",
    ]);
    await acme.accounts.createAccount({ name: "Elsewhere" }, timely);
    const elsewhere = { name: "sub", account: "elsewhere", parentKey, roles: ["nope"] };
    expect(await sorted(badFieldsOf(acme.keys.createKey(elsewhere, timely)))).toEqual([
      "parent_key",
      "roles[0]",
    ]);
  });

  it("by UpdateKey", async () => {
    const key = await newKey({});
    const unknown = { key, expiresAt: PAST, roles: ["nope"], endpoints: ["zz"], strictReplay: true };
    const looked = ["endpoints[0]", "expires_at", "roles[0]", "strict_replay"];
    expect(await sorted(badFieldsOf(acme.keys.updateKey(unknown, timely)))).toEqual(looked);
    expect(await sorted(badFieldsOf(acme.keys.updateKey({ ...unknown, name: "?" }, timely)))).toEqual(
      [...looked, "name"].sort(),
    );
  });

  it("by ImportKeys", async () => {
    const unknown = { hash: "a".repeat(64), prefix: "pk_", roles: ["nope"], expiresAt: PAST };
    const looked = ["keys[0].expires_at", "keys[0].prefix", "keys[0].roles[0]"];
    const named = { keys: [{ ...unknown, name: "named" }] };
    expect(await sorted(badFieldsOf(acme.keys.importKeys(named, timely)))).toEqual(looked);
    expect(await sorted(badFieldsOf(acme.keys.importKeys({ keys: [unknown] }, timely)))).toEqual(
      [...looked, "keys[0].name"].sort(),
    );
  });

  it("by Invite and UpdateMemberRoles", async () => {
    const invite = { email: "none", roles: ["nope"] };
    expect(await sorted(badFieldsOf(acme.members.invite(invite, timely)))).toEqual(["email", "roles[0]"]);
    const update = { user: "", roles: ["nope", "Nope"] };
    expect(await sorted(badFieldsOf(acme.members.updateMemberRoles(update, timely)))).toEqual([
      "roles[0]",
      "roles[1]",
      "user",
    ]);
  });

  it("by UpdateAccount", async () => {
    const labels = { "": "x" };
    const planned = { account: acmeId, plan: "zz", labels };
    expect(await sorted(badFieldsOf(root.accounts.updateAccount(planned, timely)))).toEqual([
      "labels",
      "plan",
    ]);
    await acme.accounts.createAccount({ name: "Planless" }, timely);
    const below = { account: "acme/planless", plan: "default", labels };
    expect(await sorted(badFieldsOf(root.accounts.updateAccount(below, timely)))).toEqual(["labels", "plan"]);
  });
});

describe("what is out of reach", () => {
  it("tells nothing: what needs no look-up is named, or it is NOT_FOUND", async () => {
    for (const account of ["globex", "nowhere"]) {
      const roles = ["nope"];
      expect(await badFieldsOf(acme.keys.createKey({ account, name: "?", roles }, timely))).toEqual(["name"]);
      expect(await reasonOf(acme.keys.createKey({ account, name: "fine", roles }, timely))).toBe("NOT_FOUND");
      const child = { parent: account, type: "zz", plan: "zz" };
      expect(await badFieldsOf(acme.accounts.createAccount(child, timely))).toEqual(["name"]);
      expect(await reasonOf(acme.accounts.createAccount({ ...child, name: "x" }, timely))).toBe("NOT_FOUND");
      const invite = { account, email: "none", roles };
      expect(await badFieldsOf(acme.members.invite(invite, timely))).toEqual(["email"]);
    }
  });

  it("is not looked up for sub-keys, which change nothing", async () => {
    const { secret } = await acme.keys.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
    const wanted = { name: "?", roles: ["nope"] };
    expect(await badFieldsOf(system.as(secret).keys.createKey(wanted, timely))).toEqual(["name"]);
  });
});

it("a create that is repeated answers what it made, when its time and its role are over", async () => {
  await acme.roles.createRole({ name: "passing", scopes: ["a"] }, timely);
  const expiresAt = { seconds: BigInt(nowMs / 1000 + 60) };
  const wanted = { name: "repeated", roles: ["passing"], expiresAt, idempotencyKey: "repeated" };
  const first = await acme.keys.createKey(wanted, timely);
  await acme.roles.deleteRole({ role: "passing" }, timely);
  nowMs += 120_000;
  const again = await acme.keys.createKey(wanted, timely);
  expect([again.replayed, again.key!.id]).toEqual([true, first.key!.id]);
});

it("a field is named once, whatever is wrong with it", async () => {
  const key = await newKey({});
  const masked = { key, updateMask: { paths: ["nothing", "none"] } };
  expect(await badFieldsOf(acme.keys.updateKey(masked, timely))).toEqual(["update_mask"]);
  const silent = { name: "silent", heartbeatTimeout: { seconds: 0n } };
  expect(await badFieldsOf(acme.keys.createKey(silent, timely))).toEqual(["heartbeat_timeout"]);
});
