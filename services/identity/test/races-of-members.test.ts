import { InvitationStatus, KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { openStage, outcomeOf, type Stage } from "./stage.ts";
import { type Caller, type System, timely } from "./system.ts";

/* As in races.test.ts, every race is run as it is, and without the gates, where it must go wrong. */

const AT_ONCE = 8;
const ACCEPT = "gatehouse.members.accept";

let stage: Stage;
let system: System;
let organizations = 0;

beforeAll(async () => {
  stage = await openStage({ plan: { ...DEFAULT_PLAN, keysPerAccount: 10 } });
  system = stage.system;
});
afterAll(() => system?.stop());

async function organization() {
  const made = await system.root.accounts.createAccount({ name: `race ${++organizations}` }, timely);
  return { id: made.account!.id, master: system.as(made.secret) };
}

function invited(inviter: Caller, more = {}) {
  return inviter.members.invite({ email: "a@b", roles: ["auditor"], ...more }, timely);
}

function accept(token: string, subject: string, keyName = "") {
  return system.root.members.acceptInvitation({ token, subject, keyName }, timely);
}

/** A member whose personal key is revoked, and an invitation to join again. */
async function rejoining(more = {}) {
  const { id, master } = await organization();
  const subject = `rejoins ${organizations}`;
  const { member, key } = await accept((await invited(master)).token, subject);
  await master.keys.revokeKey({ key: key!.id }, timely);
  const { token } = await invited(master, more);
  return { id, master, user: member!.userId, token, subject };
}

async function withAndWithout<T>(race: () => Promise<T>): Promise<[T, T]> {
  return [await race(), await stage.withoutGates(race)];
}

describe("an invitation", () => {
  it("that many accept at once is accepted by one", async () => {
    async function winners(): Promise<number> {
      const { master } = await organization();
      const { token } = await invited(master);
      const calls = Array.from(
        { length: AT_ONCE },
        (_, n) => () => accept(token, `${organizations} ${n}`, `k${n}`),
      );
      const results = await stage.atOnce(ACCEPT, calls);
      const { members } = await master.members.listMembers({}, timely);
      expect(members).toHaveLength(results.filter(({ status }) => status === "fulfilled").length);
      return members.length;
    }
    const [gated, ungated] = await withAndWithout(winners);
    expect(gated).toBe(1);
    expect(ungated).toBeGreaterThan(1);
  });

  it("that is taken back while it is accepted is one or the other", async () => {
    async function race(): Promise<string[]> {
      const { master } = await organization();
      const { invitation, token } = await invited(master);
      const { first, second } = await stage.overlap(
        ACCEPT,
        () => accept(token, `taken back ${organizations}`),
        () => master.members.revokeInvitation({ invitation: invitation!.id }, timely),
      );
      const [left] = (await master.members.listInvitations({}, timely)).invitations;
      return [outcomeOf(first), outcomeOf(second), InvitationStatus[left!.status]];
    }
    expect(await withAndWithout(race)).toEqual([
      ["OK", "FINAL_STATE", "ACCEPTED"],
      ["OK", "OK", "REVOKED"],
    ]);
  });

  it("that is accepted while it is taken back is taken back", async () => {
    async function race(): Promise<string[]> {
      const { master } = await organization();
      const { invitation, token } = await invited(master);
      const { first, second } = await stage.overlap(
        "gatehouse.members.revoke-invitation",
        () => master.members.revokeInvitation({ invitation: invitation!.id }, timely),
        () => accept(token, `back ${organizations}`),
      );
      return [outcomeOf(first), outcomeOf(second)];
    }
    expect(await withAndWithout(race)).toEqual([
      ["OK", "CREDENTIAL_INVALID"],
      ["OK", "OK"],
    ]);
  });
});

// No control: the person's own row is locked too, across accounts and organizations, where no gate is shared.
describe("two invitations", () => {
  it("of one account make one person a member once", async () => {
    async function race(): Promise<[string, number]> {
      const { id, master } = await organization();
      const [one, two] = [await invited(master), await invited(master)];
      const subject = `twice ${organizations}`;
      const { second } = await stage.overlap(
        ACCEPT,
        () => accept(one.token, subject, "one"),
        () => accept(two.token, subject, "two"),
      );
      const { rows } = await system.sql.query(
        "SELECT FROM key WHERE account_id = $1 AND user_id IS NOT NULL",
        [id],
      );
      return [outcomeOf(second), rows.length];
    }
    expect(await withAndWithout(race)).toEqual([
      ["ALREADY_MEMBER", 1],
      ["ALREADY_MEMBER", 1],
    ]);
  });

  it("of two accounts of an organization make one person, when both are the first that is heard of them", async () => {
    const { master } = await organization();
    const { account } = await master.accounts.createAccount({ name: "lab" }, timely);
    const subject = `new ${organizations}`;
    const { first, second } = await stage.overlap(
      ACCEPT,
      async () => accept((await invited(master)).token, subject),
      async () => accept((await invited(master, { account: account!.id })).token, subject),
    );
    expect([outcomeOf(first), outcomeOf(second)]).toEqual(["OK", "OK"]);
    const { rows } = await system.sql.query('SELECT FROM "user" WHERE subject = $1', [subject]);
    expect(rows).toHaveLength(1);
  });
});

describe("a member who joins again", () => {
  it("while being removed keeps no key without a membership", async () => {
    async function race(): Promise<number> {
      const { id, master, user, token, subject } = await rejoining();
      const { second } = await stage.overlap(
        ACCEPT,
        () => accept(token, subject),
        () => master.members.removeMember({ user }, timely),
      );
      expect(outcomeOf(second)).toBe("OK");
      expect((await master.members.listMembers({}, timely)).members).toEqual([]);
      const { rows } = await system.sql.query(
        "SELECT FROM key WHERE account_id = $1 AND user_id = $2 AND status <> 'REVOKED'",
        [id, user],
      );
      return rows.length;
    }
    expect(await withAndWithout(race)).toEqual([0, 1]);
  });

  it("with a master key while an account key changes the roles is out of its hands", async () => {
    async function race(): Promise<string> {
      const { master, user, token, subject } = await rejoining({ keyKind: KeyKind.MASTER });
      const roles = ["administrator", "auditor"];
      const { secret } = await master.keys.createKey({ name: "admin", roles }, timely);
      const { second } = await stage.overlap(
        ACCEPT,
        () => accept(token, subject),
        () => system.as(secret).members.updateMemberRoles({ user, roles: ["developer"] }, timely),
      );
      return outcomeOf(second);
    }
    expect(await withAndWithout(race)).toEqual(["KEY_KIND_DENIED", "OK"]);
  });
});
