import { KeyKind, KeyStatus } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let anyone: Caller;

beforeAll(async () => {
  system = await startSystem();
  anyone = system.as("nobody");
});
afterAll(() => system?.stop());

async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  return { ...made, master: system.as(made.secret) };
}

/** Someone with roles on an account of the inviter's, and what their personal key can call. */
async function join(inviter: Caller, subject: string, roles: string[], more = {}) {
  const email = "someone@example.org";
  const { token, invitation } = await inviter.members.invite({ email, roles, ...more }, timely);
  const { member, key, secret } = await anyone.members.acceptInvitation({ token, subject }, timely);
  return { token, invitation, secret, userId: member!.userId, keyId: key!.id, caller: system.as(secret) };
}

async function statusOf(caller: Caller, key: string): Promise<KeyStatus> {
  return (await caller.keys.getKey({ key }, timely)).key!.status;
}

describe("a member", () => {
  it("is the same person in all accounts of an organization, once in each, and another elsewhere", async () => {
    const [here, there] = [await organization("here"), await organization("there")];
    const lab = await here.master.accounts.createAccount({ name: "lab" }, timely);
    const first = await join(here.master, "ann", ["auditor"]);
    const second = await join(there.master, "ann", ["developer"]);
    const third = await join(here.master, "ann", ["auditor"], { account: lab.account!.id });
    const own = await join(system.root, "ann", ["auditor"]);
    expect(third.userId).toBe(first.userId);
    expect(new Set([first.userId, second.userId, own.userId]).size).toBe(3);
    // The subject tells that it is she.
    for (const caller of [here.master, there.master, system.root]) {
      expect((await caller.members.listMembers({}, timely)).members).toMatchObject([{ subject: "ann" }]);
    }
    expect((await join(here.master, "bob", ["auditor"])).userId).not.toBe(first.userId);

    const again = await here.master.members.invite({ email: "a@b", roles: ["auditor"] }, timely);
    const accept = (subject: string) =>
      anyone.members.acceptInvitation({ token: again.token, subject }, timely);
    expect(await reasonOf(accept("ann"))).toBe("ALREADY_MEMBER");
    // It was not used.
    expect(await reasonOf(accept("cem"))).toBe("OK");
  });

  it("has an id that does not tell whether another organization knows the person", async () => {
    const [here, there] = [await organization("knows"), await organization("asks")];
    await join(here.master, "known ann", ["auditor"]);
    const before = (await there.master.keys.createKey({ name: "before" }, timely)).key!.id.slice(4);
    const known = await join(there.master, "known ann", ["auditor"]);
    const unknown = await join(there.master, "unknown bob", ["auditor"]);
    for (const { userId } of [known, unknown]) expect(userId.slice(4) > before).toBe(true);
  });

  it("whose personal key is revoked stays a member, and joins again by a new invitation", async () => {
    const { master } = await organization("rejoined");
    const ann = await join(master, "rejoined ann", ["auditor"]);
    await master.keys.revokeKey({ key: ann.keyId }, timely);
    const [before] = (await master.members.listMembers({}, timely)).members;
    expect(before).toMatchObject({ userId: ann.userId, keyIds: [] });
    const again = await join(master, "rejoined ann", ["developer"]);
    const { members } = await master.members.listMembers({}, timely);
    expect(members).toMatchObject([{ userId: ann.userId, roles: ["developer"], keyIds: [again.keyId] }]);
    expect(members[0]!.createdAt).toEqual(before!.createdAt);
  });

  it("has the roles of the membership on every personal key, from the moment that they change", async () => {
    const { account, master } = await organization("roles");
    const ann = await join(master, "roles ann", ["auditor"]);
    const extra = await join(master, "roles extra", ["auditor"]);
    // A second personal key of hers, and a revoked one that keeps what it had.
    await system.sql.query("UPDATE key SET user_id = $1 WHERE id = $2", [ann.userId, extra.keyId]);
    const { key: service } = await master.keys.createKey({ name: "service", roles: ["auditor"] }, timely);
    const { head: before } = await system.feed.getHead({}, timely);
    const roles = ["developer", "auditor"];
    const changed = await master.members.updateMemberRoles({ user: ann.userId, roles }, timely);
    expect(changed.member).toMatchObject({ roles, keyIds: [ann.keyId, extra.keyId] });
    const { changes } = await system.feed.listChanges({ after: before! }, timely);
    expect(changes.map(({ entity }) => entity.case === "key" && entity.value.id).sort()).toEqual(
      [ann.keyId, extra.keyId].sort(),
    );
    for (const key of [ann.keyId, extra.keyId]) {
      expect((await master.keys.getKey({ key }, timely)).key!.roles).toEqual(roles);
    }
    expect((await master.keys.getKey({ key: service!.id }, timely)).key!.roles).toEqual(["auditor"]);

    const events = () =>
      system.sql.query("SELECT outcome FROM audit_event WHERE account_id = $1 AND action = $2", [
        account!.id,
        "gatehouse.members.update",
      ]);
    expect((await events()).rows).toEqual([{ outcome: "OK" }]);
    const same = { user: ann.userId, roles: ["auditor", "developer"] };
    expect((await master.members.updateMemberRoles(same, timely)).member).toEqual(changed.member);
    expect((await events()).rows).toHaveLength(1);
  });

  it("is changed by whoever covers what is added, and never by its own key", async () => {
    const { master } = await organization("cover");
    const admin = await join(master, "cover admin", ["administrator", "auditor"]);
    const ann = await join(master, "cover ann", ["fund-manager", "auditor"]);
    const boss = await join(master, "cover boss", ["auditor"], { keyKind: KeyKind.MASTER });
    const update = (user: string, ...roles: string[]) =>
      reasonOf(admin.caller.members.updateMemberRoles({ user, roles }, timely));
    expect(await update(admin.userId, "auditor")).toBe("OWN_CEILING");
    // What is taken away needs no cover, what is left none either.
    expect(await update(ann.userId, "fund-manager", "developer")).toBe("OK");
    expect(await update(ann.userId, "developer")).toBe("OK");
    expect(await update(ann.userId, "fund-manager")).toBe("GRANT_EXCEEDS_HOLDER");
    expect(await update(ann.userId, "king")).toBe("INVALID_FIELD");
    expect(await update(boss.userId, "developer")).toBe("KEY_KIND_DENIED");
    const remove = (user: string) => reasonOf(admin.caller.members.removeMember({ user }, timely));
    expect(await remove(boss.userId)).toBe("KEY_KIND_DENIED");
    expect(await remove(admin.userId)).toBe("SELF_LOCKOUT");
    const sub = await admin.caller.keys.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
    const subs = system.as(sub.secret).members;
    expect(await reasonOf(subs.removeMember({ user: ann.userId }, timely))).toBe("KEY_KIND_DENIED");
    expect(await reasonOf(subs.invite({ email: "a@b", roles: ["auditor"] }, timely))).toBe("KEY_KIND_DENIED");
  });

  it("goes with its personal keys and their sub-keys; service keys and other memberships stay", async () => {
    const [here, there] = [await organization("left"), await organization("kept")];
    const ann = await join(here.master, "left ann", ["administrator", "auditor"]);
    const elsewhere = await join(there.master, "left ann", ["auditor"]);
    const sub = await ann.caller.keys.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
    const service = await ann.caller.keys.createKey({ name: "service", roles: ["auditor"] }, timely);
    const { token } = await ann.caller.members.invite({ email: "a@b", roles: ["auditor"] }, timely);
    await here.master.members.removeMember({ user: ann.userId }, timely);
    expect((await here.master.members.listMembers({}, timely)).members).toEqual([]);
    expect(await statusOf(here.master, ann.keyId)).toBe(KeyStatus.REVOKED);
    expect(await statusOf(here.master, sub.key!.id)).toBe(KeyStatus.REVOKED);
    expect(await statusOf(here.master, service.key!.id)).toBe(KeyStatus.ENABLED);
    expect(await reasonOf(ann.caller.keys.whoAmI({}, timely))).toBe("CREDENTIAL_INVALID");
    await elsewhere.caller.keys.whoAmI({}, timely);
    expect((await there.master.members.listMembers({}, timely)).members).toHaveLength(1);
    // Nor do the invitations of a key that is gone let anybody in, the person least of all.
    const back = anyone.members.acceptInvitation({ token, subject: "left ann" }, timely);
    expect(await reasonOf(back)).toBe("CREDENTIAL_INVALID");
    expect(await reasonOf(here.master.members.removeMember({ user: ann.userId }, timely))).toBe("NOT_FOUND");
    expect((await join(here.master, "left ann", ["auditor"])).userId).toBe(ann.userId);
  });

  it("out of reach is not found, with the same bytes as one that is not there", async () => {
    const [mine, theirs] = [await organization("mine"), await organization("theirs")];
    const foreign = await join(theirs.master, "foreign", ["auditor"]);
    const pending = await theirs.master.members.invite({ email: "a@b", roles: ["auditor"] }, timely);
    const body = (all: Record<string, unknown>, ...fields: string[]) =>
      Object.fromEntries(fields.map((field) => [field, all[field]]));
    const account = theirs.account!.id;
    const none = "acc_00000000000000000000";
    const user = foreign.userId;
    const all = { account, roles: ["auditor"], email: "a@b", user };
    for (const [method, ...fields] of [
      ["Invite", "account", "roles", "email"],
      ["ListInvitations", "account"],
      ["ListMembers", "account"],
      ["UpdateMemberRoles", "account", "user", "roles"],
      ["RemoveMember", "account", "user"],
    ] as const) {
      const call = (more: object) =>
        system.json(mine.secret, `MemberService/${method}`, body({ ...all, ...more }, ...fields));
      const answer = await call({});
      expect(answer.status).toBe(404);
      expect(await call({ account: none })).toEqual(answer);
      expect(await call({ account: "theirs" })).toEqual(answer);
    }
    const strangers = (user: string) => system.json(mine.secret, "MemberService/RemoveMember", { user });
    expect((await strangers(user)).status).toBe(404);
    expect(await strangers("usr_00000000000000000000")).toEqual(await strangers(user));
    const revoke = (invitation: string) =>
      system.json(mine.secret, "MemberService/RevokeInvitation", { invitation });
    expect((await revoke(pending.invitation!.id)).status).toBe(404);
    expect(await revoke("inv_00000000000000000000")).toEqual(await revoke(pending.invitation!.id));
  });

  it("is listed a page at a time, by user", async () => {
    const { master } = await organization("crowd");
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push((await join(master, `crowd ${n}`, ["auditor"])).userId);
    const seen: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await master.members.listMembers({ pageSize: 2, pageToken }, timely);
      seen.push(...page.members.map(({ userId }) => userId));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(seen).toEqual(ids.sort());
  });

  it("and what becomes of it is on record, without a token or a secret", async () => {
    const { account, key, master } = await organization("recorded");
    const ann = await join(master, "recorded ann", ["auditor"]);
    const second = await master.members.invite({ email: "a@b", roles: ["auditor"] }, timely);
    const refused = anyone.members.acceptInvitation({ token: second.token, subject: "recorded ann" }, timely);
    expect(await reasonOf(refused)).toBe("ALREADY_MEMBER");
    await master.members.revokeInvitation({ invitation: second.invitation!.id }, timely);
    await master.members.removeMember({ user: ann.userId }, timely);
    const { rows } = await system.sql.query(
      "SELECT * FROM audit_event WHERE account_id = $1 AND action LIKE 'gatehouse.members.%' ORDER BY id",
      [account!.id],
    );
    const [invitation, other] = [ann.invitation!.id, second.invitation!.id];
    expect(
      rows.map(({ action, actor_key_id, target, outcome }) => [action, actor_key_id, target, outcome]),
    ).toEqual([
      ["gatehouse.members.invite", key!.id, invitation, "OK"],
      ["gatehouse.members.accept", "", ann.userId, "OK"],
      ["gatehouse.members.invite", key!.id, other, "OK"],
      ["gatehouse.members.accept", "", other, "ALREADY_MEMBER"],
      ["gatehouse.members.revoke-invitation", key!.id, other, "OK"],
      ["gatehouse.members.remove", key!.id, ann.userId, "OK"],
    ]);
    expect(rows[1].after).toMatchObject({ userId: ann.userId, invitation, roles: ["auditor"] });
    expect(rows[5].before).toMatchObject({ userId: ann.userId, keyIds: [ann.keyId] });

    for (const table of ["audit_event", "invitation", "membership", "key", '"user"']) {
      const everything = JSON.stringify((await system.sql.query(`SELECT * FROM ${table}`)).rows);
      for (const secret of [ann.token, second.token, ann.secret]) expect(everything).not.toContain(secret);
      if (table === "audit_event") expect(everything).not.toMatch(/hash/i);
    }
  });
});
