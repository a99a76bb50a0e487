import { hashSecret } from "@gatehouse/keys";
import { KeyKind, LeakAction } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openStage, outcomeOf, type Stage } from "./stage.ts";
import { type Caller, reasonOf, type System, timely } from "./system.ts";

let stage: Stage;
let system: System;
let root: Caller;
let rootKeyId: string;
let names = 0;
const FAR = { seconds: 4_000_000_000n };

beforeAll(async () => {
  stage = await openStage();
  system = stage.system;
  root = system.root;
  rootKeyId = (await root.keys.whoAmI({}, timely)).key!.id;
});
afterAll(() => system?.stop());

/** Leaves the provider the key that it began with, and no other master key. */
beforeEach(async () => {
  await system.sql.query("UPDATE key SET status = 'DISABLED' WHERE status = 'ENABLED' AND kind = 'MASTER'");
  await system.sql.query(
    `UPDATE key SET status = 'ENABLED', scopes = '{**}', secret_hashes = $2, not_before = NULL, expires_at = NULL,
       ip_allow = '{}', ip_deny = '{}' WHERE id = $1`,
    [rootKeyId, [hashSecret(system.rootKey)]],
  );
});

async function master(rest: object = { scopes: ["gatehouse.**"] }) {
  const wish = { kind: KeyKind.MASTER, name: `key ${names++}`, ...rest };
  const { key, secret } = await root.keys.createKey(wish, timely);
  return { id: key!.id, secret, as: system.as(secret) };
}

describe("the provider's last manager", () => {
  it.each<[string, (by: Caller) => Promise<unknown>]>([
    ["revoked", (by) => by.keys.revokeKey({ key: rootKeyId }, timely)],
    ["disabled", (by) => by.keys.disableKey({ key: rootKeyId }, timely)],
    ["narrowed", (by) => by.keys.updateKey({ key: rootKeyId, scopes: ["x.y"] }, timely)],
    ["made to expire", (by) => by.keys.updateKey({ key: rootKeyId, expiresAt: FAR }, timely)],
    ["made to begin later", (by) => by.keys.updateKey({ key: rootKeyId, notBefore: FAR }, timely)],
    ["bound to addresses", (by) => by.keys.updateKey({ key: rootKeyId, ipAllow: ["10.0.0.1"] }, timely)],
    ["kept from addresses", (by) => by.keys.updateKey({ key: rootKeyId, ipDeny: ["0.0.0.0/0"] }, timely)],
  ])("is not %s by a master key with one narrow scope", async (_, act) => {
    const narrow = await master({
      scopes: ["revoke", "disable", "update"].map((verb) => `gatehouse.keys.${verb}`),
    });
    expect(await reasonOf(act(narrow.as))).toBe("SELF_LOCKOUT");
    expect(await reasonOf(root.keys.listKeys({}, timely))).toBe("OK");
    await master();
    expect(await reasonOf(act(narrow.as))).toBe("OK");
  });

  it.each<[string, object]>([
    ["narrow", { scopes: ["gatehouse.keys.*"] }],
    ["expiring", { scopes: ["**"], expiresAt: FAR }],
    ["bound to addresses", { scopes: ["**"], ipAllow: ["127.0.0.1"] }],
    ["for signing", { scopes: ["**"], signing: { algorithm: 1 } }],
    ["no master key", { scopes: ["**"], kind: KeyKind.ACCOUNT }],
  ])("is not another one that is %s", async (_, rest) => {
    const narrow = await master({ scopes: ["gatehouse.keys.*"] });
    await master(rest);
    expect(await reasonOf(narrow.as.keys.revokeKey({ key: rootKeyId }, timely))).toBe("SELF_LOCKOUT");
  });

  it("is only told of when it leaks, whatever narrow master keys there are", async () => {
    await master({ scopes: ["gatehouse.verify"] });
    const report = () => root.keys.reportLeak({ secrets: [system.rootKey] }, timely);
    expect((await report()).reports).toMatchObject([{ action: LeakAction.NOTIFIED }]);
    expect(await reasonOf(root.keys.whoAmI({}, timely))).toBe("OK");
    await master();
    expect((await report()).reports).toMatchObject([{ action: LeakAction.DISABLED }]);
  });

  it("may be renamed, and others may go", async () => {
    const narrow = await master({ scopes: ["gatehouse.keys.*"] });
    const [manager, other] = [await master(), await master()];
    expect(await reasonOf(narrow.as.keys.updateKey({ key: rootKeyId, name: "the root" }, timely))).toBe("OK");
    for (const { id } of [manager, other]) {
      expect(await reasonOf(narrow.as.keys.revokeKey({ key: id }, timely))).toBe("OK");
    }
  });

  it("keeps what it holds by a role of the provider's", async () => {
    const role = `boss-${names++}`;
    await root.roles.createRole({ name: role, scopes: ["gatehouse.**"] }, timely);
    const boss = await master({ roles: [role] });
    const narrow = (await master({ scopes: ["gatehouse.roles.*", "gatehouse.keys.*"] })).as;
    await narrow.keys.revokeKey({ key: rootKeyId }, timely);
    const update = () => reasonOf(narrow.roles.updateRole({ role, scopes: ["x.y"] }, timely));
    const remove = () => reasonOf(narrow.roles.deleteRole({ role }, timely));
    expect([await update(), await remove()]).toEqual(["SELF_LOCKOUT", "SELF_LOCKOUT"]);
    expect(await reasonOf(boss.as.roles.updateRole({ role, title: "The boss" }, timely))).toBe("OK");
    await boss.as.keys.createKey({ kind: KeyKind.MASTER, name: `key ${names++}`, scopes: ["**"] }, timely);
    expect([await update(), await remove()]).toEqual(["OK", "OK"]);
  });

  it("may be a person's, who then stays and keeps the roles", async () => {
    const roles = ["administrator", "fund-manager"];
    const offer = { email: "boss@provider.example", roles, keyKind: KeyKind.MASTER };
    const { token } = await root.members.invite(offer, timely);
    const { member } = await root.members.acceptInvitation({ token, subject: "boss@idp" }, timely);
    const narrow = (await master({ scopes: ["gatehouse.members.*", "gatehouse.keys.*"] })).as;
    await narrow.keys.revokeKey({ key: rootKeyId }, timely);
    const user = member!.userId;
    const update = () =>
      reasonOf(narrow.members.updateMemberRoles({ user, roles: ["administrator"] }, timely));
    const remove = () => reasonOf(narrow.members.removeMember({ user }, timely));
    expect([await update(), await remove()]).toEqual(["SELF_LOCKOUT", "SELF_LOCKOUT"]);
    await system.sql.query("UPDATE key SET expires_at = '2099-01-01' WHERE user_id = $1", [user]);
    expect([await update(), await remove()]).toEqual(["OK", "OK"]);
  });

  it("is missed by nobody who has chosen to have none", async () => {
    await system.sql.query("UPDATE key SET expires_at = '2099-01-01' WHERE id = $1", [rootKeyId]);
    const narrow = await master({ scopes: ["gatehouse.keys.*"] });
    expect(await reasonOf(narrow.as.keys.disableKey({ key: rootKeyId }, timely))).toBe("OK");
  });

  it("is nobody's business in an organization", async () => {
    const { secret, account } = await root.accounts.createAccount({ name: `Acme ${names++}` }, timely);
    const { keys } = await system.as(secret).keys.listKeys({ account: account!.id }, timely);
    expect(await reasonOf(root.keys.revokeKey({ key: keys[0]!.id }, timely))).toBe("OK");
  });
});

/** How two managers fare, with no third, that each revoke the other at once. */
async function bothRevoked(): Promise<string[]> {
  const [one, other] = [await master(), await master()];
  const by = await master({ scopes: ["gatehouse.keys.*"] });
  await system.sql.query("UPDATE key SET expires_at = '2099-01-01' WHERE id = $1", [rootKeyId]);
  const revoke = (key: string) => () => by.as.keys.revokeKey({ key }, timely);
  const { first, second } = await stage.overlap("gatehouse.keys.revoke", revoke(one.id), revoke(other.id));
  return [outcomeOf(first), outcomeOf(second)];
}

describe("of two managers revoked at once", () => {
  it("one stays", async () => {
    expect(await bothRevoked()).toEqual(["OK", "SELF_LOCKOUT"]);
  });

  it("none would without the gate", async () => {
    expect(await stage.withoutGates(bothRevoked)).toEqual(["OK", "OK"]);
  });
});
