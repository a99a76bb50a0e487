import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditEvent } from "../src/domain/events/audit.ts";
import type { Change, Store } from "../src/domain/store.ts";
import { doneOrWaiting } from "./stage.ts";
import { badFieldsOf, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

async function organization(name: string, of = system) {
  const made = await of.root.accounts.createAccount({ name }, timely);
  return { ...made, id: made.account!.id, master: of.as(made.secret) };
}

/**
 * One account takes a slug, and before it commits somebody else goes for the same one. Answers what came of both.
 * `prepare` may take a mechanism away.
 */
async function raceForSlug(
  second: (system: System) => Promise<string>,
  { wrapStore = (store: Store) => store, prepare = async (_: System) => {} } = {},
): Promise<[string, string]> {
  const [taking, passed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let isTaking = false;
  const slow = (store: Store): Store => ({
    ...readsOf(store),
    change: (work) =>
      store.change((change) =>
        work({
          ...change,
          audit: async (event) => {
            await change.audit(event);
            if (event.action !== "gatehouse.accounts.rename" || isTaking) return;
            isTaking = true;
            taking.resolve();
            await passed.promise;
          },
        }),
      ),
  });
  const racing = await startSystem({ wrapStore: (store) => slow(wrapStore(store)) });
  try {
    await prepare(racing);
    await organization("first", racing);
    await organization("second", racing);
    const first = reasonOf(racing.root.accounts.renameAccount({ account: "first", slug: "wanted" }, timely));
    await taking.promise;
    const other = second(racing);
    await doneOrWaiting(racing, other);
    passed.resolve();
    return [await first, await other];
  } finally {
    await racing.stop();
  }
}

function withoutGates(store: Store): Store {
  return {
    ...readsOf(store),
    change: (work) => store.change((change: Change) => work({ ...change, gate: async () => {} })),
  };
}

function readsOf(store: Store) {
  return { ...store, recordRefusal: (event: AuditEvent) => store.recordRefusal(event) };
}

const renameSecond = ({ root }: System) =>
  reasonOf(root.accounts.renameAccount({ account: "second", slug: "wanted" }, timely));
const createWanted = ({ root }: System) =>
  root.accounts.createAccount({ name: "Wanted" }, timely).then(
    ({ account }) => account!.slug,
    ({ reason }) => reason,
  );

describe("renaming an account", () => {
  it("changes its name, its slug or both, and old slugs go on naming it", async () => {
    const { id, master } = await organization("Old Name");
    const named = await master.accounts.renameAccount({ account: id, name: "New Name" }, timely);
    expect(named.account).toMatchObject({ name: "New Name", slug: "old-name", formerSlugs: [] });
    const slugged = await master.accounts.renameAccount({ account: id, slug: "new-name" }, timely);
    expect(slugged.account).toMatchObject({ name: "New Name", slug: "new-name", formerSlugs: ["old-name"] });
    const both = await master.accounts.renameAccount({ account: id, name: "Third", slug: "third" }, timely);
    expect(both.account).toMatchObject({
      name: "Third",
      slug: "third",
      formerSlugs: ["old-name", "new-name"],
    });
    for (const account of ["old-name", "new-name", "third"]) {
      for (const caller of [master, system.root]) {
        expect((await caller.accounts.getAccount({ account }, timely)).account!.id).toBe(id);
      }
      const resolved = await system.feed.resolveAccounts({ names: [{ account }] }, timely);
      expect(resolved.accountIds).toEqual([id]);
    }
    const taken = system.root.accounts.createAccount({ name: "x", slug: "old-name" }, timely);
    expect(await reasonOf(taken)).toBe("SLUG_TAKEN");
    expect((await organization("Old name")).account!.slug).toBe("old-name-2");

    const back = await master.accounts.renameAccount({ account: id, slug: "old-name" }, timely);
    expect(back.account).toMatchObject({ slug: "old-name", formerSlugs: ["new-name", "third"] });
    const nothing = await master.accounts.renameAccount(
      { account: id, slug: "old-name", name: "Third" },
      timely,
    );
    expect(nothing.account).toEqual(back.account);
    const events = await system.sql.query(
      "SELECT after->>'slug' AS slug, after->>'name' AS name FROM audit_event WHERE action = $1 AND target = $2 ORDER BY id",
      ["gatehouse.accounts.rename", id],
    );
    expect(events.rows.map(({ slug, name }) => `${name} ${slug}`)).toEqual([
      "New Name old-name",
      "New Name new-name",
      "Third third",
      "Third old-name",
    ]);
  });

  it("reaches followers with its former slugs", async () => {
    const { id, master } = await organization("Followed");
    const { head } = await system.feed.getHead({}, timely);
    await master.accounts.renameAccount({ account: id, slug: "moved" }, timely);
    const { changes } = await system.feed.listChanges({ after: head! }, timely);
    expect(changes.map(({ entity }) => entity.value)).toMatchObject([
      { id, slug: "moved", formerSlugs: ["followed"] },
    ]);
  });

  it("keeps slugs of subaccounts within their organization", async () => {
    const { master, id } = await organization("Slugs");
    const child = await master.accounts.createAccount(
      { name: "one", firstKey: { roles: ["administrator"] } },
      timely,
    );
    await master.accounts.createAccount({ name: "two" }, timely);
    const other = await organization("two");
    // Of another organization is no hindrance.
    const own = system.as(child.secret);
    expect(await reasonOf(own.accounts.renameAccount({ account: "one", slug: "two" }, timely))).toBe(
      "SLUG_TAKEN",
    );
    const renamed = await own.accounts.renameAccount({ account: child.account!.id, slug: "free" }, timely);
    expect(renamed.account!.slug).toBe("free");
    expect((await master.accounts.getAccount({ account: "one" }, timely)).account!.id).toBe(
      child.account!.id,
    );
    expect((await system.root.accounts.getAccount({ account: "slugs/one" }, timely)).account!.id).toBe(
      child.account!.id,
    );
    // Through an organization's former slug as well.
    await master.accounts.renameAccount({ account: id, slug: "slugs-again" }, timely);
    expect((await system.root.accounts.getAccount({ account: "slugs/one" }, timely)).account!.id).toBe(
      child.account!.id,
    );
    const foreign = other.master.accounts.renameAccount({ account: child.account!.id, slug: "x" }, timely);
    expect(await reasonOf(foreign)).toBe("NOT_FOUND");
  });

  it("is refused for bad names, the provider's slug and more than 20 slugs", async () => {
    const { id, master } = await organization("Many");
    const rename = (request: object) => master.accounts.renameAccount({ account: id, ...request }, timely);
    expect(await badFieldsOf(rename({}))).toEqual(["name", "slug"]);
    expect(await badFieldsOf(rename({ name: "x".repeat(101), slug: "Not Kebab" }))).toEqual(["name", "slug"]);
    const root = (request: object) =>
      system.root.accounts.renameAccount({ account: "provider", ...request }, timely);
    expect(await badFieldsOf(root({ slug: "elsewhere" }))).toEqual(["slug"]);
    expect((await root({ name: "The Provider", slug: "provider" })).account!.name).toBe("The Provider");

    for (let n = 2; n <= 20; n++) await rename({ slug: `many-${n}` });
    expect(await reasonOf(rename({ slug: "many-21" }))).toBe("PLAN_LIMIT");
    const back = await rename({ slug: "many" });
    expect(back.account!.formerSlugs).toHaveLength(19);
  });

  it("two who race for one slug: one gets it", async () => {
    expect(await raceForSlug(renameSecond)).toEqual(["OK", "SLUG_TAKEN"]);
    expect(await raceForSlug(createWanted)).toEqual(["OK", "wanted-2"]);
  });

  it("without the gate, a create that finds its own slug finds the one that is being taken", async () => {
    expect(await raceForSlug(createWanted, { wrapStore: withoutGates })).toEqual(["OK", "SLUG_TAKEN"]);
  });

  it("without the reservation and the gate, both get it", async () => {
    const prepare = async ({ sql }: System) => {
      await sql.query("ALTER TABLE account_slug DROP CONSTRAINT account_slug_pkey");
    };
    expect(await raceForSlug(renameSecond, { wrapStore: withoutGates, prepare })).toEqual(["OK", "OK"]);
  });
});
