import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { openStage, outcomeOf, type Stage } from "./stage.ts";
import { reasonOf, type System, timely } from "./system.ts";

let stage: Stage;
let system: System;

beforeAll(async () => {
  stage = await openStage({ plan: { ...DEFAULT_PLAN, depth: 3 } });
  system = stage.system;
  for (const name of ["trader", "custodian"]) await system.root.types.createType({ name }, timely);
});
afterAll(() => system?.stop());

/** An organization with accounts `desk` below it and `pit` below that. */
async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  const master = system.as(made.secret);
  const desk = await master.accounts.createAccount({ name: "desk" }, timely);
  const pit = await master.accounts.createAccount({ name: "pit", parent: "desk" }, timely);
  return { id: made.account!.id, master, deskId: desk.account!.id, pitId: pit.account!.id };
}

const enable = (account: string, type = "trader", caller = system.root) =>
  caller.accounts.enableType({ account, type }, timely);
const disable = (account: string, type = "trader") =>
  system.root.accounts.disableType({ account, type }, timely);
const enabledOf = async (account: string) =>
  (await system.root.accounts.getAccount({ account }, timely)).account!.enabledTypes;

describe("a type that is taken back", () => {
  it("is taken from the whole subtree, and from nobody beside it", async () => {
    const [acme, globex] = [await organization("Acme"), await organization("Globex")];
    for (const account of [acme.id, acme.deskId, globex.id, globex.pitId]) await enable(account);
    await enable(acme.pitId, "custodian");
    await enable("pit", "trader", acme.master);
    const make = (parent: string) =>
      reasonOf(acme.master.accounts.createAccount({ name: "x", parent, type: "trader" }, timely));
    expect(await make("pit")).toBe("OK");

    const { head } = await system.feed.getHead({}, timely);
    await disable(acme.id);
    for (const [account, types] of [
      [acme.id, []],
      [acme.deskId, []],
      [acme.pitId, ["custodian"]],
      [globex.id, ["trader"]],
      [globex.pitId, ["trader"]],
    ] as const) {
      expect(await enabledOf(account)).toEqual(types);
    }
    for (const parent of ["acme", "desk", "pit"]) expect(await make(parent)).toBe("TYPE_NOT_ENABLED");
    // Followers know of no enabled types: one row, for the account that was named.
    const { changes } = await system.feed.listChanges({ after: head! }, timely);
    expect(changes.map(({ entity }) => entity.value)).toMatchObject([{ id: acme.id }]);
    const { rows } = await system.sql.query(
      "SELECT after FROM audit_event WHERE target = $1 AND action = 'gatehouse.accounts.disable-type'",
      [acme.id],
    );
    expect(rows).toMatchObject([{ after: { enabledTypes: [], enabledTypesBelow: 2 } }]);
  });

  it("is so where only those below have it, and where nobody has it nothing happens", async () => {
    const { id, deskId } = await organization("Initech");
    await enable(deskId);
    const taken = await disable(id);
    expect(await enabledOf(deskId)).toEqual([]);
    expect((await disable(id)).account).toEqual(taken.account);
    const { rows } = await system.sql.query(
      "SELECT after FROM audit_event WHERE target = $1 AND action = 'gatehouse.accounts.disable-type'",
      [id],
    );
    expect(rows).toMatchObject([{ after: { enabledTypesBelow: 1 } }]);
  });

  it("is not passed on meanwhile; without gates it is", async () => {
    const race = async (name: string, gated: boolean) => {
      const { id, master, pitId } = await organization(name);
      await enable(id);
      const run = () =>
        stage.overlap(
          "gatehouse.accounts.enable-type",
          () => enable(pitId, "trader", master),
          () => disable(id),
        );
      const { first, second } = await (gated ? run() : stage.withoutGates(run));
      expect([first, second].map(outcomeOf)).toEqual(["OK", "OK"]);
      return await enabledOf(pitId);
    };
    expect(await race("gated", true)).toEqual([]);
    expect(await race("ungated", false)).toEqual(["trader"]);
  });
});
