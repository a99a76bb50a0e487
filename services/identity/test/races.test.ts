import { createHash } from "node:crypto";
import { KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { openStage, outcomeOf, type Stage } from "./stage.ts";
import { type Caller, reasonOf, type System, timely } from "./system.ts";

/*
 * Every race is run twice: as it is, and as a negative control without the gates, where it must go wrong. A rule that
 * holds without them is held by something else, and its row here would show nothing.
 */

const AT_ONCE = 32;
const PLAN = { ...DEFAULT_PLAN, depth: 2, accounts: 6, keysPerAccount: 5, subKeysPerAccount: 4 };

let stage: Stage;
let system: System;
let organizations = 0;

beforeAll(async () => {
  stage = await openStage({ plan: PLAN });
  system = stage.system;
  await system.sql.query("UPDATE account SET import_prefixes = '{pk_}' WHERE parent_id IS NULL");
});
afterAll(() => system?.stop());

const auditor = ["auditor"];
const administrator = ["administrator", "auditor"];

async function organization() {
  const made = await system.root.accounts.createAccount({ name: `race ${++organizations}` }, timely);
  return { id: made.account!.id, key: made.key!, master: system.as(made.secret) };
}

async function keyOf(master: Caller, name: string, more = {}) {
  const { key, secret } = await master.keys.createKey({ name, roles: administrator, ...more }, timely);
  return { id: key!.id, caller: system.as(secret) };
}

async function join(master: Caller, subject: string, roles: string[], more = {}) {
  const { token } = await master.members.invite({ email: "a@b", roles, ...more }, timely);
  const { member, key, secret } = await system.root.members.acceptInvitation({ token, subject }, timely);
  return { userId: member!.userId, keyId: key!.id, caller: system.as(secret) };
}

async function invited(inviter: Caller, more = {}) {
  return inviter.members.invite({ email: "a@b", roles: auditor, ...more }, timely);
}

function accept(token: string, subject: string, keyName = "") {
  return system.root.members.acceptInvitation({ token, subject, keyName }, timely);
}

async function outcomes(calls: Promise<unknown>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const reason of await Promise.all(calls.map(reasonOf))) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

function atOnce(call: (n: number) => Promise<unknown>): Promise<Record<string, number>> {
  return outcomes(Array.from({ length: AT_ONCE }, (_, n) => call(n)));
}

describe(`of ${AT_ONCE} creates at once, a plan lets through as many as it has room for:`, () => {
  const crowds: Record<string, { room: number; crowd: () => Promise<Record<string, number>> }> = {
    keys: {
      room: PLAN.keysPerAccount - 1,
      async crowd() {
        const { master } = await organization();
        return atOnce((n) => master.keys.createKey({ name: `k${n}` }, timely));
      },
    },
    "sub-keys": {
      room: PLAN.subKeysPerAccount,
      async crowd() {
        const { master } = await organization();
        return atOnce((n) => master.keys.createKey({ name: `s${n}`, kind: KeyKind.SUB }, timely));
      },
    },
    accounts: {
      room: PLAN.accounts,
      async crowd() {
        const { master } = await organization();
        return atOnce((n) => master.accounts.createAccount({ name: `a${n}` }, timely));
      },
    },
    "personal keys": {
      room: PLAN.keysPerAccount - 1,
      async crowd() {
        const { master } = await organization();
        const offers = await Promise.all(Array.from({ length: AT_ONCE }, () => invited(master)));
        return atOnce((n) => accept(offers[n]!.token, `crowd ${organizations} ${n}`, `p${n}`));
      },
    },
  };
  for (const [name, { room, crowd }] of Object.entries(crowds)) {
    it(name, async () => {
      expect(await crowd()).toEqual({ OK: room, PLAN_LIMIT: AT_ONCE - room });
    });
    it(`${name} (control: without gates, more)`, async () => {
      const { OK = 0 } = await stage.crowdWithoutGates(crowd, ({ OK = 0 }) => OK > room);
      expect(OK).toBeGreaterThan(room);
    });
  }
});

/** A key, or an account, that is stopped, and what it would mint, or let mint, meanwhile. */
interface Stopping {
  /** The action of the stop, and of the mint. */
  readonly actions: readonly [string, string];
  readonly stop: () => Promise<unknown>;
  readonly mint: () => Promise<unknown>;
  /** What changes of the stop on the log. */
  readonly stopped: string;
  readonly refusal: string;
}

const CREATE = "gatehouse.keys.create";

const stoppings: Record<string, () => Promise<Stopping>> = {
  "a key that is revoked": async () => {
    const { master } = await organization();
    const { id, caller } = await keyOf(master, "minter");
    return {
      actions: ["gatehouse.keys.revoke", CREATE],
      stop: () => master.keys.revokeKey({ key: id }, timely),
      mint: () => caller.keys.createKey({ name: "late" }, timely),
      stopped: id,
      refusal: "CREDENTIAL_INVALID",
    };
  },
  "a key that is disabled": async () => {
    const { master } = await organization();
    const { id, caller } = await keyOf(master, "minter");
    return {
      actions: ["gatehouse.keys.disable", CREATE],
      stop: () => master.keys.disableKey({ key: id }, timely),
      mint: () => caller.keys.createKey({ name: "late" }, timely),
      stopped: id,
      refusal: "KEY_DISABLED",
    };
  },
  "a key whose account is suspended": async () => {
    const { id, master } = await organization();
    return {
      actions: ["gatehouse.accounts.suspend", CREATE],
      stop: () => system.root.accounts.suspendAccount({ account: id, reason: "ABUSE" }, timely),
      mint: () => master.keys.createKey({ name: "late" }, timely),
      stopped: id,
      refusal: "ACCOUNT_SUSPENDED",
    };
  },
  "a key of an account below one that is suspended": async () => {
    const { id, master } = await organization();
    const firstKey = { roles: ["administrator"] };
    const below = await master.accounts.createAccount({ name: "below", firstKey }, timely);
    const caller = system.as(below.secret);
    return {
      actions: ["gatehouse.accounts.suspend", CREATE],
      stop: () => system.root.accounts.suspendAccount({ account: id, reason: "ABUSE" }, timely),
      mint: () => caller.keys.createKey({ name: "late" }, timely),
      stopped: id,
      refusal: "ACCOUNT_SUSPENDED",
    };
  },
  "a key of an account that is suspended, by a key from above": async () => {
    const { id } = await organization();
    return {
      actions: ["gatehouse.accounts.suspend", CREATE],
      stop: () => system.root.accounts.suspendAccount({ account: id, reason: "ABUSE" }, timely),
      mint: () => system.root.keys.createKey({ account: id, name: "late" }, timely),
      stopped: id,
      refusal: "ACCOUNT_INACTIVE",
    };
  },
  "a sub-key of a key that is revoked": async () => {
    const { master } = await organization();
    const parent = await keyOf(master, "parent");
    return {
      actions: ["gatehouse.keys.revoke", CREATE],
      stop: () => master.keys.revokeKey({ key: parent.id }, timely),
      mint: () => master.keys.createKey({ name: "late", parentKey: parent.id }, timely),
      stopped: parent.id,
      refusal: "FINAL_STATE",
    };
  },
  "an account by a key that is revoked": async () => {
    const { master } = await organization();
    const { id, caller } = await keyOf(master, "minter");
    return {
      actions: ["gatehouse.keys.revoke", "gatehouse.accounts.create"],
      stop: () => master.keys.revokeKey({ key: id }, timely),
      mint: () => caller.accounts.createAccount({ name: "late" }, timely),
      stopped: id,
      refusal: "CREDENTIAL_INVALID",
    };
  },
  "an account below one that is suspended": async () => {
    const { id } = await organization();
    return {
      actions: ["gatehouse.accounts.suspend", "gatehouse.accounts.create"],
      stop: () => system.root.accounts.suspendAccount({ account: id, reason: "ABUSE" }, timely),
      mint: () => system.root.accounts.createAccount({ parent: id, name: "late" }, timely),
      stopped: id,
      refusal: "ACCOUNT_INACTIVE",
    };
  },
  "an imported key by a key that is revoked": async () => {
    const { master } = await organization();
    const { id, caller } = await keyOf(master, "importer");
    const hash = createHash("sha256").update(id).digest("hex");
    return {
      actions: ["gatehouse.keys.revoke", "gatehouse.keys.import"],
      stop: () => master.keys.revokeKey({ key: id }, timely),
      mint: () => caller.keys.importKeys({ keys: [{ name: "late", prefix: "pk_", hash }] }, timely),
      stopped: id,
      refusal: "CREDENTIAL_INVALID",
    };
  },
  "a new secret of another key by a key that is revoked": async () => {
    const { master } = await organization();
    const [{ id, caller }, other] = [await keyOf(master, "rotator"), await keyOf(master, "other")];
    return {
      actions: ["gatehouse.keys.revoke", "gatehouse.keys.rotate"],
      stop: () => master.keys.revokeKey({ key: id }, timely),
      mint: () => caller.keys.rotateKey({ key: other.id }, timely),
      stopped: id,
      refusal: "CREDENTIAL_INVALID",
    };
  },
  "the personal key of a member who is removed": async () => {
    const { master } = await organization();
    const { userId, keyId, caller } = await join(master, `removed ${organizations}`, administrator);
    return {
      actions: ["gatehouse.members.remove", CREATE],
      stop: () => master.members.removeMember({ user: userId }, timely),
      mint: () => caller.keys.createKey({ name: "late" }, timely),
      stopped: keyId,
      refusal: "CREDENTIAL_INVALID",
    };
  },
  "a member who loses the scope": async () => {
    const { master } = await organization();
    const { userId, keyId, caller } = await join(master, `cut ${organizations}`, administrator);
    return {
      actions: ["gatehouse.members.update", CREATE],
      stop: () => master.members.updateMemberRoles({ user: userId, roles: auditor }, timely),
      mint: () => caller.keys.createKey({ name: "late", roles: ["developer"] }, timely),
      stopped: keyId,
      refusal: "SCOPE_DENIED",
    };
  },
  "a member who loses what it would give": async () => {
    const { master } = await organization();
    const { userId, keyId, caller } = await join(master, `cut ${organizations}`, administrator);
    return {
      actions: ["gatehouse.members.update", CREATE],
      stop: () => master.members.updateMemberRoles({ user: userId, roles: ["administrator"] }, timely),
      mint: () => caller.keys.createKey({ name: "late", roles: auditor }, timely),
      stopped: keyId,
      refusal: "GRANT_EXCEEDS_HOLDER",
    };
  },
  "a master key of an account that is isolated, further below": async () => {
    const { id, master } = await organization();
    const below = await master.accounts.createAccount({ name: "below" }, timely);
    return {
      actions: ["gatehouse.accounts.update-settings", CREATE],
      stop: () => system.root.accounts.updateSettings({ account: id, isolated: true }, timely),
      mint: () => master.keys.createKey({ account: below.account!.id, name: "late" }, timely),
      stopped: id,
      refusal: "NOT_FOUND",
    };
  },
  "a personal key by the invitation of a key that is revoked": async () => {
    const { master } = await organization();
    const inviter = await keyOf(master, "inviter");
    const { token } = await invited(inviter.caller);
    return {
      actions: ["gatehouse.keys.revoke", "gatehouse.members.accept"],
      stop: () => master.keys.revokeKey({ key: inviter.id }, timely),
      mint: () => accept(token, `invited ${organizations}`),
      stopped: inviter.id,
      refusal: "CREDENTIAL_INVALID",
    };
  },
  "a personal key of an account that is suspended": async () => {
    const { id, master } = await organization();
    const { token } = await invited(master);
    return {
      actions: ["gatehouse.accounts.suspend", "gatehouse.members.accept"],
      stop: () => system.root.accounts.suspendAccount({ account: id, reason: "ABUSE" }, timely),
      mint: () => accept(token, `suspended ${organizations}`),
      stopped: id,
      refusal: "CREDENTIAL_INVALID",
    };
  },
};

describe("nothing is minted behind the back of a stop, by or as", () => {
  /** Mints while the stop is not committed yet: what became of the mint. */
  async function mintDuring({ actions, stop, mint }: Stopping): Promise<string> {
    return outcomeOf((await stage.overlap(actions[0], stop, mint)).second);
  }
  /** Stops while the mint is not committed yet: which of the two the log has first. */
  async function stopDuring({ actions, stop, mint, stopped }: Stopping): Promise<string> {
    const { head } = await system.feed.getHead({}, timely);
    const { first, second } = await stage.overlap(actions[1], mint, stop);
    expect([outcomeOf(first), outcomeOf(second)]).toEqual(["OK", "OK"]);
    const { changes } = await system.feed.listChanges({ after: head! }, timely);
    const [earliest] = changes.map(({ entity }) =>
      entity.value !== undefined && "id" in entity.value ? entity.value.id : "",
    );
    return earliest === stopped ? "stopped, then minted" : "minted, then stopped";
  }
  for (const [name, make] of Object.entries(stoppings)) {
    it(name, async () => {
      const inTheWay = await make();
      expect(await mintDuring(inTheWay)).toBe(inTheWay.refusal);
      expect(await stopDuring(await make())).toBe("minted, then stopped");
    });
    it(`${name} (control: without gates, it is)`, async () => {
      const [one, two] = [await make(), await make()];
      expect(await stage.withoutGates(() => mintDuring(one))).toBe("OK");
      expect(await stage.withoutGates(() => stopDuring(two))).toBe("stopped, then minted");
    });
  }
});

describe("a key that mints a sub-key while it is revoked", () => {
  /** How many sub-keys outlive it. */
  async function survivors(): Promise<number> {
    const { master } = await organization();
    const { id, caller } = await keyOf(master, "minter");
    const { second } = await stage.overlap(
      CREATE,
      () => caller.keys.createKey({ name: "late", kind: KeyKind.SUB }, timely),
      () => master.keys.revokeKey({ key: id }, timely),
    );
    expect(outcomeOf(second)).toBe("OK");
    return (await master.keys.listKeys({ kind: KeyKind.SUB }, timely)).keys.length;
  }
  it("takes it along", async () => expect(await survivors()).toBe(0));
  it("leaves it behind (control: without gates)", async () => {
    expect(await stage.withoutGates(survivors)).toBe(1);
  });
});
