import { KeyStatus } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStage, outcomeOf, type Stage } from "./stage.ts";
import { type System, timely } from "./system.ts";

let stage: Stage;
let system: System;
let names = 0;

beforeAll(async () => {
  stage = await openStage();
  system = stage.system;
  await system.sql.query("UPDATE account SET leak_policy = 'REVOKE' WHERE parent_id IS NULL");
});
afterAll(() => system?.stop());

async function leaked() {
  const { key, secret } = await system.root.keys.createKey(
    { name: `key ${names++}`, roles: ["administrator", "auditor"] },
    timely,
  );
  const report = () => system.root.keys.reportLeak({ secrets: [secret] }, timely);
  return { id: key!.id, caller: system.as(secret), report };
}

/** What becomes of a key that a leaked key mints while it is being revoked for the leak. */
async function mintedMeanwhile(): Promise<string> {
  const { caller, report } = await leaked();
  const mint = () => caller.keys.createKey({ name: `minted ${names++}`, roles: ["auditor"] }, timely);
  return outcomeOf((await stage.overlap("gatehouse.keys.report-leak", report, mint)).second);
}

/** The statuses of a leaked key and of a sub-key that it is given while it is being revoked. */
async function livingBelow(): Promise<KeyStatus[]> {
  const { id, report } = await leaked();
  const create = () => system.root.keys.createKey({ name: `sub ${names++}`, parentKey: id }, timely);
  const { second } = await stage.overlap("gatehouse.keys.report-leak", report, create);
  if (second.status === "rejected") return [];
  const { key } = await system.root.keys.getKey({ key: second.value.key!.id }, timely);
  return [key!.status];
}

describe("a key that is revoked for a leak", () => {
  it("mints nothing meanwhile", async () => {
    expect(await mintedMeanwhile()).toBe("CREDENTIAL_INVALID");
  });

  it("would without the gates", async () => {
    expect(await stage.withoutGates(mintedMeanwhile)).toBe("OK");
  });

  it("is given no sub-key meanwhile that outlives it", async () => {
    expect(await livingBelow()).toEqual([]);
  });

  it("would be without the gates", async () => {
    expect(await stage.withoutGates(livingBelow)).toEqual([KeyStatus.ENABLED]);
  });
});
