import { AccountStatus, KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let root: Caller;

beforeAll(async () => {
  system = await startSystem({ plan: { ...DEFAULT_PLAN, depth: 2 } });
  root = system.root;
});
afterAll(() => system?.stop());

const ABUSE = "ABUSE";

/** An organization, a desk below it with a master key, and a pit below that, which all three may suspend. */
async function organization(name: string) {
  const made = await root.accounts.createAccount({ name }, timely);
  const master = system.as(made.secret);
  const firstKey = { kind: KeyKind.MASTER, roles: ["administrator"] };
  const desk = await master.accounts.createAccount({ name: "desk", firstKey }, timely);
  const pit = await master.accounts.createAccount({ name: "pit", parent: "desk" }, timely);
  return { master, desk: system.as(desk.secret), pitId: pit.account!.id };
}

const suspend = (caller: Caller, account: string, reason: string) =>
  reasonOf(caller.accounts.suspendAccount({ account, reason }, timely));
const resume = (caller: Caller, account: string) =>
  reasonOf(caller.accounts.resumeAccount({ account }, timely));
const stateOf = async (account: string) => {
  const { status, suspensionReason } = (await root.accounts.getAccount({ account }, timely)).account!;
  return [status, suspensionReason];
};

describe("a suspension", () => {
  it("stands against everybody below the account that made it", async () => {
    const { master, desk, pitId } = await organization("Acme");
    expect(await suspend(root, pitId, ABUSE)).toBe("OK");
    for (const caller of [master, desk]) {
      expect(await resume(caller, pitId)).toBe("OWN_CEILING");
      expect(await suspend(caller, pitId, "nothing much")).toBe("OWN_CEILING");
      // It is so: said again it is nobody else's.
      expect(await suspend(caller, pitId, ABUSE)).toBe("OK");
      expect(await resume(caller, pitId)).toBe("OWN_CEILING");
    }
    expect(await stateOf(pitId)).toEqual([AccountStatus.SUSPENDED, ABUSE]);
    expect(await suspend(root, pitId, "FRAUD")).toBe("OK");
    expect(await resume(root, pitId)).toBe("OK");
    expect(await stateOf(pitId)).toEqual([AccountStatus.ACTIVE, ""]);
    // With that it is over: who was below may suspend and resume again.
    expect([await suspend(desk, pitId, "late"), await resume(desk, pitId)]).toEqual(["OK", "OK"]);
  });

  it("is lifted and changed from the account that made it and from above, and taken over from above", async () => {
    const { master, desk, pitId } = await organization("Globex");
    await suspend(desk, pitId, "late");
    expect([await suspend(desk, pitId, "later"), await resume(desk, pitId)]).toEqual(["OK", "OK"]);
    await suspend(desk, pitId, "late");
    expect(await resume(master, pitId)).toBe("OK");

    await suspend(desk, pitId, "late");
    // With the same reason, too: it is another's word now.
    expect(await suspend(master, pitId, "late")).toBe("OK");
    expect(await resume(desk, pitId)).toBe("OWN_CEILING");
    expect(await suspend(root, pitId, ABUSE)).toBe("OK");
    expect(await resume(master, pitId)).toBe("OWN_CEILING");
    const events = await system.sql.query(
      "SELECT FROM audit_event WHERE target = $1 AND outcome = 'OK' AND action = 'gatehouse.accounts.suspend'",
      [pitId],
    );
    expect(events.rows).toHaveLength(6);
    expect(await resume(root, pitId)).toBe("OK");
  });

  it("of which it was not kept who made it is any ancestor's, until one makes it its own", async () => {
    const { master, desk, pitId } = await organization("Initech");
    const asBefore = () =>
      system.sql.query(
        "UPDATE account SET status = 'SUSPENDED', suspension_reason = 'old', suspended_by = '' WHERE id = $1",
        [pitId],
      );
    await asBefore();
    expect(await resume(desk, pitId)).toBe("OK");
    await asBefore();
    expect(await suspend(master, pitId, "old")).toBe("OK");
    expect(await resume(desk, pitId)).toBe("OWN_CEILING");
    expect(await resume(master, pitId)).toBe("OK");
  });
});
