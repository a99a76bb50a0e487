import { KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStage, outcomeOf, type Stage } from "./stage.ts";
import { type Caller, timely } from "./system.ts";

let stage: Stage;
let acme: Caller;
let names = 0;

beforeAll(async () => {
  stage = await openStage();
  acme = stage.system.as((await stage.system.root.accounts.createAccount({ name: "Acme" }, timely)).secret);
});
afterAll(() => stage?.system.stop());

/** What becomes of a call with the credential that is rotated away meanwhile. */
async function calledMeanwhile(act: (by: Caller) => Promise<unknown>, grace = 0n): Promise<string> {
  const administrator = { kind: KeyKind.MASTER, roles: ["administrator", "developer"] };
  const { key, secret } = await acme.keys.createKey({ name: `key ${names++}`, ...administrator }, timely);
  const rotate = () => acme.keys.rotateKey({ key: key!.id, grace: { seconds: grace } }, timely);
  const { second } = await stage.overlap("gatehouse.keys.rotate", rotate, () => act(stage.system.as(secret)));
  return outcomeOf(second);
}

const mint = (by: Caller) => by.keys.createKey({ name: `thief ${names++}`, kind: KeyKind.MASTER }, timely);

describe("a credential that is rotated away", () => {
  it.each<[string, (by: Caller) => Promise<unknown>]>([
    ["mints no key", mint],
    ["invites nobody", (by) => by.members.invite({ email: "a@b.example", roles: ["auditor"] }, timely)],
    ["makes no account", (by) => by.accounts.createAccount({ name: `thief ${names++}` }, timely)],
    ["reports nothing", (by) => by.keys.reportLeak({ secrets: ["x"] }, timely)],
  ])("%s in a call that was under way", async (_, act) => {
    expect(await calledMeanwhile(act)).toBe("CREDENTIAL_INVALID");
  });

  it("would without the gates", async () => {
    expect(await stage.withoutGates(() => calledMeanwhile(mint))).toBe("OK");
  });

  it("goes on in its grace", async () => {
    expect(await calledMeanwhile(mint, 60n)).toBe("OK");
  });
});
