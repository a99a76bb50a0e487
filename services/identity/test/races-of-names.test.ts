import { KeyStatus } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { openStage, outcomeOf, type Stage } from "./stage.ts";
import { reasonOf, type System, timely } from "./system.ts";

/* As in races.test.ts, every race is run as it is, and without the gates, where it must go wrong. */

const AT_ONCE = 16;
const KEYS = 3;

let stage: Stage;
let system: System;
let organizations = 0;

beforeAll(async () => {
  stage = await openStage({ plan: { ...DEFAULT_PLAN, keysPerAccount: KEYS } });
  system = stage.system;
});
afterAll(() => system?.stop());

async function organization() {
  const made = await system.root.accounts.createAccount({ name: `race ${++organizations}` }, timely);
  return { id: made.account!.id, master: system.as(made.secret) };
}

async function withAndWithout<T>(race: () => Promise<T>): Promise<[T, T]> {
  return [await race(), await stage.withoutGates(race)];
}

describe("accounts made at once", () => {
  it("under one name get slugs of their own", async () => {
    async function race(): Promise<number> {
      const { master } = await organization();
      const make = () => master.accounts.createAccount({ name: "Twin" }, timely);
      const results = await stage.atOnce("gatehouse.accounts.create", Array<typeof make>(AT_ONCE).fill(make));
      const made = results.filter(({ status }) => status === "fulfilled").length;
      const { accounts } = await master.accounts.listAccounts({}, timely);
      expect(new Set(accounts.map(({ slug }) => slug)).size).toBe(accounts.length);
      return made;
    }
    const [gated, ungated] = await withAndWithout(race);
    expect(gated).toBe(AT_ONCE);
    // They found the same slug free, and the database let one of them have it.
    expect(ungated).toBeLessThan(AT_ONCE);
  });

  // The database holds this one too: a slug is taken by the insert of a row, gates or not.
  it("with one slug are one account", async () => {
    const { master } = await organization();
    const calls = Array.from({ length: AT_ONCE }, (_, n) =>
      reasonOf(master.accounts.createAccount({ name: `n${n}`, slug: "mine" }, timely)),
    );
    const outcomes = (await Promise.all(calls)).sort();
    expect(outcomes).toEqual(["OK", ...Array.from({ length: AT_ONCE - 1 }, () => "SLUG_TAKEN")]);
  });

  it("while another is renamed to what their name gives get another slug", async () => {
    async function race(): Promise<string[]> {
      const { id, master } = await organization();
      const { account } = await master.accounts.createAccount({ name: "before" }, timely);
      const { first, second } = await stage.overlap(
        "gatehouse.accounts.rename",
        () => master.accounts.renameAccount({ account: account!.id, slug: "after" }, timely),
        () => master.accounts.createAccount({ name: "After" }, timely),
      );
      const { rows } = await system.sql.query(
        "SELECT slug FROM account WHERE organization_id = $1 AND parent_id = $1 ORDER BY slug",
        [id],
      );
      return [outcomeOf(first), outcomeOf(second), ...rows.map(({ slug }) => slug)];
    }
    expect(await withAndWithout(race)).toEqual([
      ["OK", "OK", "after", "after-2"],
      ["OK", "SLUG_TAKEN", "after"],
    ]);
  });
});

describe("the last place of a plan", () => {
  async function full() {
    const { master } = await organization();
    const { key } = await master.keys.createKey({ name: "spare" }, timely);
    await master.keys.disableKey({ key: key!.id }, timely);
    for (let n = 2; n < KEYS; n++) await master.keys.createKey({ name: `k${n}` }, timely);
    const enabled = async () =>
      (await master.keys.listKeys({ status: KeyStatus.ENABLED }, timely)).keys.length;
    return {
      enable: () => master.keys.enableKey({ key: key!.id }, timely),
      create: () => master.keys.createKey({ name: "last" }, timely),
      enabled,
    };
  }

  it("goes to the key that is enabled, or to the one that is created meanwhile", async () => {
    async function race(): Promise<[string, number]> {
      const { enable, create, enabled } = await full();
      const { second } = await stage.overlap("gatehouse.keys.enable", enable, create);
      return [outcomeOf(second), await enabled()];
    }
    expect(await withAndWithout(race)).toEqual([
      ["PLAN_LIMIT", KEYS],
      ["OK", KEYS + 1],
    ]);
  });

  it("goes to the key that is created, or to the one that is enabled meanwhile", async () => {
    async function race(): Promise<[string, number]> {
      const { enable, create, enabled } = await full();
      const { second } = await stage.overlap("gatehouse.keys.create", create, enable);
      return [outcomeOf(second), await enabled()];
    }
    expect(await withAndWithout(race)).toEqual([
      ["PLAN_LIMIT", KEYS],
      ["OK", KEYS + 1],
    ]);
  });
});
