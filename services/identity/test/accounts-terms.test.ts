import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());
beforeEach(async () => {
  const { terms } = await system.root.terms.listTerms({}, timely);
  for (const { document } of terms) await system.root.terms.deleteTerms({ document }, timely);
});

async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  const master = system.as(made.secret);
  const firstKey = { roles: ["administrator"] };
  const child = await master.accounts.createAccount({ name: "child", firstKey }, timely);
  return {
    id: made.account!.id,
    keyId: made.key!.id,
    master,
    child: child.account!.id,
    own: system.as(child.secret),
  };
}

const read = ({ accounts }: Caller) => reasonOf(accounts.getAccount({}, timely));
const accept = ({ accounts }: Caller, version: string, account = "", document = "general") =>
  accounts.acceptTerms({ document, version, account }, timely);

describe("terms", () => {
  it("close an organization until one of its keys accepts them, and again with a new version", async () => {
    const { id, keyId, master, own } = await organization("Closing");
    await system.root.terms.createTerms({ document: "general", version: "1" }, timely);
    for (const caller of [master, own]) {
      expect(await read(caller)).toBe("TERMS_REQUIRED");
      expect(await reasonOf(caller.keys.createKey({ name: "x" }, timely))).toBe("TERMS_REQUIRED");
      // Who it is, and to accept, stay open.
      expect(await reasonOf(caller.keys.whoAmI({}, timely))).toBe("OK");
    }
    // The provider is bound by none, and sees everybody.
    expect(await reasonOf(system.root.accounts.getAccount({ account: id }, timely))).toBe("OK");

    const { account } = await accept(master, "1");
    expect(account).toMatchObject({ id, acceptedTerms: [{ document: "general", version: "1", keyId }] });
    for (const caller of [master, own]) expect(await read(caller)).toBe("OK");

    await system.root.terms.updateTerms({ document: "general", version: "2" }, timely);
    for (const caller of [master, own]) expect(await read(caller)).toBe("TERMS_REQUIRED");
    expect(await badFieldsOf(accept(master, "1"))).toEqual(["version"]);
    const second = await accept(master, "2", "child");
    expect(second.account).toMatchObject({ id, acceptedTerms: [{ document: "general", version: "2" }] });
    for (const caller of [master, own]) expect(await read(caller)).toBe("OK");

    // Once is enough: again is no change.
    expect((await accept(master, "2")).account).toEqual(second.account);
    const events = await system.sql.query(
      "SELECT outcome FROM audit_event WHERE action = 'gatehouse.terms.accept' AND target = $1",
      [id],
    );
    expect(events.rows).toHaveLength(2);
  });

  it("never close what stops things", async () => {
    const { id, keyId, master, child } = await organization("Stopping");
    const role = { roles: ["administrator"] };
    const made = await master.keys.createKey({ name: "leaked", account: child, ...role }, timely);
    const lost = await master.keys.createKey({ name: "lost", account: child }, timely);
    const offer = { email: "a@example.com", ...role, account: child };
    const { invitation } = await master.members.invite(offer, timely);
    const { token } = await master.members.invite(offer, timely);
    const joined = await master.members.acceptInvitation({ token, subject: "someone" }, timely);
    await system.root.terms.createTerms({ document: "general", version: "1" }, timely);
    expect(await reasonOf(master.keys.enableKey({ key: keyId }, timely))).toBe("TERMS_REQUIRED");

    const stopped = [
      await reasonOf(master.keys.disableKey({ key: made.key!.id }, timely)),
      await reasonOf(master.keys.revokeKey({ key: made.key!.id }, timely)),
      await reasonOf(master.keys.reportLeak({ secrets: [lost.secret] }, timely)),
      await reasonOf(master.members.revokeInvitation({ invitation: invitation!.id }, timely)),
      await reasonOf(master.members.removeMember({ account: child, user: joined.member!.userId }, timely)),
      await reasonOf(master.accounts.suspendAccount({ account: child, reason: "stolen" }, timely)),
    ];
    expect(stopped).toEqual(stopped.map(() => "OK"));
    expect(await reasonOf(master.accounts.resumeAccount({ account: child }, timely))).toBe("TERMS_REQUIRED");
    expect(await reasonOf(master.accounts.suspendAccount({ account: id }, timely))).not.toBe(
      "TERMS_REQUIRED",
    );
  });

  it("close only what their gates say", async () => {
    const { master } = await organization("Gated");
    await system.root.terms.createTerms(
      { document: "general", version: "1", gates: ["gatehouse.keys.create", "orders.**"] },
      timely,
    );
    expect(await read(master)).toBe("OK");
    expect(await reasonOf(master.keys.createKey({ name: "x" }, timely))).toBe("TERMS_REQUIRED");
    await accept(master, "1");
    expect(await reasonOf(master.keys.createKey({ name: "x" }, timely))).toBe("OK");
  });

  it("are accepted by who acts for the organization, not by a subaccount", async () => {
    const { id, master, own, child } = await organization("Whose");
    const other = await organization("Else");
    const { terms } = system.root;
    await terms.createTerms({ document: "general", version: "1", gates: ["orders.**"] }, timely);
    expect(await reasonOf(accept(own, "1"))).toBe("OWN_CEILING");
    expect(await reasonOf(accept(own, "1", child))).toBe("OWN_CEILING");
    expect(await reasonOf(accept(own, "1", id))).toBe("NOT_FOUND");
    expect(await reasonOf(accept(other.master, "1", id))).toBe("NOT_FOUND");
    expect(await badFieldsOf(accept(system.root, "1"))).toEqual(["account"]);
    expect(await badFieldsOf(accept(master, "1", "", "unknown"))).toEqual(["document"]);
    expect(await badFieldsOf(accept(master, "", "", ""))).toEqual(["document", "version"]);
    expect(await reasonOf(accept(system.root, "1", id))).toBe("OK");
  });

  it("reach followers as soon as they are accepted", async () => {
    const { id, master } = await organization("Followed");
    await system.root.terms.createTerms({ document: "general", version: "1" }, timely);
    await system.root.terms.createTerms({ document: "trading", version: "7" }, timely);
    const { head } = await system.feed.getHead({}, timely);
    await accept(master, "1");
    await accept(master, "7", "", "trading");
    const { changes } = await system.feed.listChanges({ after: head! }, timely);
    expect(changes.at(-1)!.entity.value).toMatchObject({
      id,
      acceptedTerms: [
        { document: "general", version: "1" },
        { document: "trading", version: "7" },
      ],
    });
  });
});
