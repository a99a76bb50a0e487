import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStage, outcomeOf, type Stage } from "./stage.ts";
import { type Caller, reasonOf, type System, timely } from "./system.ts";

let stage: Stage;
let system: System;

beforeAll(async () => {
  stage = await openStage();
  system = stage.system;
});
afterAll(() => system?.stop());

async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  return { id: made.account!.id, master: system.as(made.secret) };
}

async function below(master: Caller, name: string) {
  const firstKey = { roles: ["administrator"] };
  const made = await master.accounts.createAccount({ name, firstKey }, timely);
  return { id: made.account!.id, own: system.as(made.secret) };
}

const rename = (caller: Caller, account: string, slug: string) =>
  caller.accounts.renameAccount({ account, slug }, timely);
const named = async (caller: Caller, account: string) =>
  (await caller.accounts.getAccount({ account }, timely)).account!.id;

/** Both have the slug, as accounts of before it was refused may. */
async function hasTakenAll(accountId: string, slug: string): Promise<void> {
  await system.sql.query("UPDATE account SET slug = $2 WHERE id = $1", [accountId, slug]);
  await system.sql.query("INSERT INTO account_slug SELECT slug_space, slug, id FROM account WHERE id = $1", [
    accountId,
  ]);
}

describe("a slug of the organization", () => {
  it("is taken by nobody below it, whether asked for, renamed to or derived", async () => {
    const { id, master } = await organization("Acme");
    const team = await below(master, "Team");
    await rename(master, id, "acme-global");
    for (const slug of ["acme", "acme-global"]) {
      expect(await reasonOf(rename(team.own, team.id, slug))).toBe("SLUG_TAKEN");
      const asked = master.accounts.createAccount({ name: "x", slug }, timely);
      expect(await reasonOf(asked)).toBe("SLUG_TAKEN");
      const derived = await master.accounts.createAccount({ name: slug }, timely);
      expect(derived.account!.slug).toBe(`${slug}-2`);
      expect(await named(master, slug)).toBe(id);
    }
    // Of another organization it is as free as ever.
    const other = await organization("Globex");
    expect((await other.master.accounts.createAccount({ name: "Acme" }, timely)).account!.slug).toBe("acme");
  });

  it("is none that an account below it has or had", async () => {
    const { id, master } = await organization("Initech");
    const team = await below(master, "Desk");
    await rename(team.own, team.id, "floor");
    for (const slug of ["desk", "floor"]) {
      expect(await reasonOf(rename(master, id, slug))).toBe("SLUG_TAKEN");
      expect(await named(master, slug)).toBe(team.id);
    }
  });

  it("names the organization where somebody below has it too", async () => {
    const { id, master } = await organization("Hooli");
    const team = await below(master, "Nest");
    await rename(master, id, "hooli-global");
    for (const slug of ["hooli", "hooli-global"]) {
      await hasTakenAll(team.id, slug);
      expect(await named(master, slug)).toBe(id);
      expect(await reasonOf(team.own.accounts.getAccount({ account: slug }, timely))).toBe("NOT_FOUND");
      const { accountIds } = await system.feed.resolveAccounts(
        { names: [{ account: slug, organizationId: id }] },
        timely,
      );
      expect(accountIds).toEqual([id]);
      expect(await named(system.root, `${slug}/${slug}`)).toBe(team.id);
    }
  });

  it("is not taken below while the organization takes it, nor the other way round", async () => {
    const race = async (name: string) => {
      const { id, master } = await organization(name);
      const team = await below(master, "Team");
      const slug = `${name}-wanted`;
      return { up: () => rename(master, id, slug), down: () => rename(team.own, team.id, slug), master };
    };
    const action = "gatehouse.accounts.rename";
    const one = await race("one");
    const above = await stage.overlap(action, one.up, one.down);
    expect([above.first, above.second].map(outcomeOf)).toEqual(["OK", "SLUG_TAKEN"]);
    const two = await race("two");
    const beneath = await stage.overlap(action, two.down, two.up);
    expect([beneath.first, beneath.second].map(outcomeOf)).toEqual(["OK", "SLUG_TAKEN"]);
    // The negative control: without gates each finds it free.
    const three = await race("three");
    const making = () => three.master.accounts.createAccount({ name: "x", slug: "mine" }, timely);
    const up = () => rename(system.root, "three", "mine");
    const ungated = await stage.withoutGates(() => stage.overlap(action, up, making));
    expect([ungated.first, ungated.second].map(outcomeOf)).toEqual(["OK", "OK"]);
  });
});

describe("the provider's slug", () => {
  it("is taken by no organization, and names the provider where one has it all the same", async () => {
    const provider = await named(system.root, "provider");
    const { id, master } = await organization("Umbrella");
    expect(await reasonOf(rename(master, id, "provider"))).toBe("SLUG_TAKEN");
    const asked = system.root.accounts.createAccount({ name: "x", slug: "provider" }, timely);
    expect(await reasonOf(asked)).toBe("SLUG_TAKEN");
    const derived = await system.root.accounts.createAccount({ name: "Provider" }, timely);
    expect(derived.account!.slug).toBe("provider-2");
    // Within an organization it is a slug like any other.
    expect((await below(master, "Provider")).id).toBe(await named(master, "provider"));
    await hasTakenAll(id, "provider");
    expect(await named(system.root, "provider")).toBe(provider);
  });
});
