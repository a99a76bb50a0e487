import { InvitationStatus, KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_PENDING_INVITATIONS } from "../src/domain/members/invite.ts";
import { DEFAULT_PLAN } from "../src/index.ts";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

const MINUTE_MS = 60_000;
const DAY_S = 24n * 60n * 60n;

let system: System;
let anyone: Caller;
/** How far the clock of identity is ahead. */
let aheadMs = 0;

beforeAll(async () => {
  system = await startSystem({
    nowMs: () => Date.now() + aheadMs,
    plan: { ...DEFAULT_PLAN, keysPerAccount: 5 },
  });
  anyone = system.as("nobody");
});
afterAll(() => system?.stop());

async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  return { ...made, master: system.as(made.secret) };
}

const offer = { email: "ann@example.org", roles: ["auditor"] };

describe("an invitation", () => {
  it("makes the person who holds its token a member with a personal key, once", async () => {
    const { account, master } = await organization("joined");
    const { invitation, token } = await master.members.invite(offer, timely);
    expect(token).toMatch(/^gth_inv_[0-9A-Za-z]{20}[0-9a-f]{64}[0-9A-Za-z]{9}$/);
    expect(invitation).toMatchObject({
      ...offer,
      accountId: account!.id,
      keyKind: KeyKind.ACCOUNT,
      status: InvitationStatus.PENDING,
    });
    const accepted = await anyone.members.acceptInvitation({ token, subject: "idp|ann" }, timely);
    expect(accepted.member).toMatchObject({ accountId: account!.id, subject: "idp|ann", ...offer });
    expect(accepted.member!.userId).toMatch(/^usr_[0-9A-Za-z]{20}$/);
    expect(accepted.key).toMatchObject({ name: "personal", kind: KeyKind.ACCOUNT, roles: ["auditor"] });
    expect(accepted.member!.keyIds).toEqual([accepted.key!.id]);
    const { rows } = await system.sql.query("SELECT user_id FROM key WHERE id = $1", [accepted.key!.id]);
    expect(rows).toEqual([{ user_id: accepted.member!.userId }]);

    const ann = system.as(accepted.secret);
    expect((await ann.members.listMembers({}, timely)).members).toEqual([accepted.member]);
    const { invitations } = await master.members.listInvitations({}, timely);
    expect(invitations.map(({ status }) => status)).toEqual([InvitationStatus.ACCEPTED]);
    const again = anyone.members.acceptInvitation({ token, subject: "idp|bob" }, timely);
    expect(await reasonOf(again)).toBe("CREDENTIAL_INVALID");
    expect(await reasonOf(master.members.revokeInvitation({ invitation: invitation!.id }, timely))).toBe(
      "FINAL_STATE",
    );
  });

  it("answers every token that is no good with the same bytes", async () => {
    const { master, account } = await organization("no good");
    const roles = ["administrator", "auditor"];
    const admin = await master.keys.createKey({ name: "admin", roles }, timely);
    const tokenOf = async (caller: Caller, more = {}) =>
      (await caller.members.invite({ ...offer, ...more }, timely)).token;
    const byAdmin = async () => tokenOf(system.as(admin.secret));
    const accept = (token: string) =>
      system.json("", "MemberService/AcceptInvitation", { token, subject: "idp|eve" });

    const good = await tokenOf(master);
    const revoked = await master.members.invite(offer, timely);
    await master.members.revokeInvitation({ invitation: revoked.invitation!.id }, timely);
    const used = await tokenOf(master);
    await anyone.members.acceptInvitation({ token: used, subject: "idp|used" }, timely);
    const expired = await tokenOf(master, { validFor: { seconds: 60n, nanos: 0 } });

    const answers = [
      await accept("x"),
      await accept("x".repeat(1_000_000)),
      await accept(`gth_inv_${"0".repeat(20)}${"0".repeat(73)}`),
      await accept(good.slice(0, -1) + (good.endsWith("0") ? "1" : "0")),
      await accept(revoked.token),
      await accept(used),
    ];
    const disabled = await byAdmin();
    await master.keys.disableKey({ key: admin.key!.id }, timely);
    answers.push(await accept(disabled));
    await master.keys.enableKey({ key: admin.key!.id }, timely);
    const orphaned = await byAdmin();
    await master.keys.revokeKey({ key: admin.key!.id }, timely);
    answers.push(await accept(orphaned));
    await system.root.accounts.suspendAccount({ account: account!.id, reason: "ABUSE" }, timely);
    answers.push(await accept(good));
    await system.root.accounts.resumeAccount({ account: account!.id }, timely);
    aheadMs = MINUTE_MS;
    answers.push(await accept(expired));
    aheadMs = 0;

    expect(answers[0]).toMatchObject({ status: 401, body: expect.stringContaining("CREDENTIAL_INVALID") });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect((await accept(good)).status).toBe(200);
  });

  it("ends when the key that made it is rotated without a grace, for then the thief may be who is invited", async () => {
    const { master } = await organization("rotated");
    const admin = await master.keys.createKey({ name: "admin", roles: ["administrator", "auditor"] }, timely);
    const by = system.as(admin.secret);
    const [first, second, others] = [
      await by.members.invite(offer, timely),
      await by.members.invite(offer, timely),
      await master.members.invite(offer, timely),
    ];
    const accept = (token: string, who: string) =>
      reasonOf(anyone.members.acceptInvitation({ token, subject: `idp|${who}` }, timely));
    await master.keys.rotateKey({ key: admin.key!.id, grace: { seconds: 60n } }, timely);
    expect(await accept(first.token, "graceful")).toBe("OK");
    await master.keys.rotateKey({ key: admin.key!.id }, timely);
    expect(await accept(second.token, "thief")).toBe("CREDENTIAL_INVALID");
    expect(await accept(others.token, "other")).toBe("OK");

    const { invitations } = await master.members.listInvitations({}, timely);
    expect(invitations.map(({ status }) => status)).toEqual([
      InvitationStatus.ACCEPTED,
      InvitationStatus.REVOKED,
      InvitationStatus.ACCEPTED,
    ]);
    const { rows } = await system.sql.query(
      "SELECT after->'revokedInvitations' AS count FROM audit_event WHERE action LIKE '%.rotate' AND target = $1",
      [admin.key!.id],
    );
    expect(rows).toEqual([{ count: null }, { count: 1 }]);
  });

  it("stands only while the key that made it could still make it", async () => {
    const { master } = await organization("cut");
    const admin = await master.keys.createKey({ name: "admin", roles: ["administrator", "auditor"] }, timely);
    const wide = { ...offer, roles: ["administrator"] };
    const { token } = await system.as(admin.secret).members.invite(wide, timely);
    const accept = () => reasonOf(anyone.members.acceptInvitation({ token, subject: "idp|cut" }, timely));
    const setRoles = (roles: string[], scopes: string[] = []) =>
      system.sql.query("UPDATE key SET roles = $2, scopes = $3 WHERE id = $1", [
        admin.key!.id,
        roles,
        scopes,
      ]);
    await setRoles(["auditor"], ["gatehouse.members.invite"]);
    expect(await accept()).toBe("CREDENTIAL_INVALID");
    await setRoles(["administrator"], ["!gatehouse.members.invite"]);
    expect(await accept()).toBe("CREDENTIAL_INVALID");
    await setRoles(["administrator"]);
    // What a key minted outlives its expiry, and so does what it offered.
    await system.sql.query("UPDATE key SET expires_at = now() - interval '1 day' WHERE id = $1", [
      admin.key!.id,
    ]);
    expect(await accept()).toBe("OK");
  });

  it("stands no longer than its roles and the reach of the key that made it", async () => {
    const { account, master } = await organization("gone");
    const lab = await master.accounts.createAccount({ name: "lab" }, timely);
    await master.roles.createRole({ name: "trader", scopes: ["orders.**"] }, timely);
    const trader = await master.members.invite({ ...offer, roles: ["trader"] }, timely);
    const below = await master.members.invite({ ...offer, account: lab.account!.id }, timely);
    const accept = ({ token }: { token: string }) =>
      reasonOf(anyone.members.acceptInvitation({ token, subject: "idp|gone" }, timely));
    const isolate = (isolated: boolean) =>
      system.root.accounts.updateSettings(
        { account: account!.id, isolated, updateMask: { paths: ["isolated"] } },
        timely,
      );
    await master.roles.deleteRole({ role: "trader" }, timely);
    expect(await accept(trader)).toBe("CREDENTIAL_INVALID");
    await isolate(true);
    expect(await accept(below)).toBe("CREDENTIAL_INVALID");
    await isolate(false);
    await master.roles.createRole({ name: "trader", scopes: ["orders.**"] }, timely);
    expect([await accept(trader), await accept(below)]).toEqual(["OK", "OK"]);
  });

  it("offers nothing that the caller could not mint, and names every bad field", async () => {
    const { master } = await organization("offers");
    const admin = await master.keys.createKey({ name: "admin", roles: ["administrator"] }, timely);
    const { members } = system.as(admin.secret);
    const invited = (more: object) => reasonOf(members.invite({ ...offer, ...more }, timely));
    expect(await invited({ keyKind: KeyKind.MASTER })).toBe("KEY_KIND_DENIED");
    expect(await invited({ roles: ["fund-manager"] })).toBe("GRANT_EXCEEDS_HOLDER");
    expect(await invited({ roles: ["developer", "administrator"] })).toBe("OK");
    expect(await reasonOf(master.members.invite({ ...offer, keyKind: KeyKind.MASTER }, timely))).toBe("OK");
    expect(await badFieldsOf(members.invite({ ...offer, roles: ["auditor", "king"] }, timely))).toEqual([
      "roles[1]",
    ]);
    for (const email of ["", "ann", "a@b@c", "a b@c", "ann@", "@c", "ann@c\u202e", `${"a".repeat(254)}@c`]) {
      expect(await badFieldsOf(members.invite({ ...offer, email }, timely))).toContain("email");
    }
    const bad = {
      account: "x".repeat(300),
      keyKind: KeyKind.SUB,
      validFor: { seconds: 90n * DAY_S, nanos: 1_000_000 },
    };
    expect((await badFieldsOf(members.invite(bad, timely))).sort()).toEqual([
      "account",
      "email",
      "key_kind",
      "roles",
      "valid_for",
    ]);
    for (const validFor of [
      { seconds: 59n, nanos: 0 },
      { seconds: -1n, nanos: 0 },
      { seconds: 2n ** 60n, nanos: 5 },
    ]) {
      expect(await badFieldsOf(members.invite({ ...offer, validFor }, timely))).toEqual(["valid_for"]);
    }
    const accept = { token: "", subject: "x".repeat(201), keyName: "?" };
    expect((await badFieldsOf(anyone.members.acceptInvitation(accept, timely))).sort()).toEqual([
      "key_name",
      "subject",
      "token",
    ]);
  });

  it("that is refused for what can be mended stays pending", async () => {
    const { master } = await organization("mended");
    const { token } = await master.members.invite(offer, timely);
    const accept = (keyName: string) =>
      anyone.members.acceptInvitation({ token, subject: "idp|mended", keyName }, timely);
    expect(await reasonOf(accept("first"))).toBe("NAME_TAKEN");
    const filler = [];
    for (const name of ["personal", "b", "c", "d"]) {
      filler.push((await master.keys.createKey({ name }, timely)).key!.id);
    }
    expect(await reasonOf(accept(""))).toBe("PLAN_LIMIT");
    await master.keys.revokeKey({ key: filler[3]! }, timely);
    expect((await accept("")).key!.name).toBe("personal 2");
  });

  it("is listed a page at a time, by what became of it", async () => {
    const { master } = await organization("listed");
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      const validFor = { seconds: n === 1 ? 60n : 3600n, nanos: 0 };
      ids.push((await master.members.invite({ ...offer, validFor }, timely)).invitation!.id);
    }
    await master.members.revokeInvitation({ invitation: ids[3]! }, timely);
    // Again is as good as once.
    const again = await master.members.revokeInvitation({ invitation: ids[3]! }, timely);
    expect(again.invitation!.status).toBe(InvitationStatus.REVOKED);
    aheadMs = MINUTE_MS;
    const listed = async (status: InvitationStatus) =>
      (await master.members.listInvitations({ status }, timely)).invitations.map(({ id }) => id);
    expect(await listed(InvitationStatus.PENDING)).toEqual([ids[0], ids[2], ids[4]]);
    expect(await listed(InvitationStatus.EXPIRED)).toEqual([ids[1]]);
    expect(await listed(InvitationStatus.REVOKED)).toEqual([ids[3]]);
    expect(await listed(InvitationStatus.ACCEPTED)).toEqual([]);
    aheadMs = 0;
    const seen: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await master.members.listInvitations({ pageSize: 2, pageToken }, timely);
      seen.push(...page.invitations.map(({ id }) => id));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
      const elsewhere = master.members.listMembers({ pageToken }, timely);
      expect(await badFieldsOf(elsewhere)).toEqual(["page_token"]);
    }
    expect(seen).toEqual(ids);
  });

  it("is one of a bounded number that an account has pending", async () => {
    const { account, key, master } = await organization("crowded");
    await system.sql.query(
      `INSERT INTO invitation SELECT 'inv_' || lpad(n::text, 20, '0'), $1, 'a@b', '{auditor}', 'ACCOUNT', 'PENDING',
         'hash', $2, now() + interval '1 hour', now(), now() FROM generate_series(1, $3::int) AS n`,
      [account!.id, key!.id, MAX_PENDING_INVITATIONS],
    );
    expect(await reasonOf(master.members.invite(offer, timely))).toBe("PLAN_LIMIT");
    await system.sql.query("UPDATE invitation SET expires_at = now() WHERE id = 'inv_00000000000000000001'");
    expect(await reasonOf(master.members.invite(offer, timely))).toBe("OK");
  });
});
