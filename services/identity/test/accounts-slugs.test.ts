import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

const SLUGS = ["a", "b", "c", "d"];
/** Accounts of each organization that is tried. */
const ACCOUNTS = 3;

const renames = fc.array(
  fc.record({ account: fc.nat({ max: ACCOUNTS - 1 }), slug: fc.constantFrom(...SLUGS) }),
  { minLength: 1, maxLength: 10 },
);

it("a slug names the account that took it first, whatever is renamed in which order", async () => {
  let organizations = 0;
  await fc.assert(
    fc.asyncProperty(renames, async (steps) => {
      const name = `org ${organizations++}`;
      const { secret } = await system.root.accounts.createAccount({ name }, timely);
      const { accounts } = system.as(secret);
      const ids: string[] = [];
      for (let n = 0; n < ACCOUNTS; n++) {
        ids.push((await accounts.createAccount({ name: `first ${n}` }, timely)).account!.id);
      }
      // The model: who took which slug, and which one each has now.
      const owners = new Map(ids.map((id, n) => [`first-${n}`, id]));
      const now = ids.map((_, n) => `first-${n}`);
      for (const { account, slug } of steps) {
        const id = ids[account]!;
        const outcome = await reasonOf(accounts.renameAccount({ account: id, slug }, timely));
        const owner = owners.get(slug);
        expect(outcome).toBe(owner === undefined || owner === id ? "OK" : "SLUG_TAKEN");
        if (outcome !== "OK") continue;
        owners.set(slug, id);
        now[account] = slug;
      }
      for (const [slug, id] of owners) {
        expect((await accounts.getAccount({ account: slug }, timely)).account!.id).toBe(id);
      }
      for (const [n, id] of ids.entries()) {
        const { account } = await accounts.getAccount({ account: id }, timely);
        expect(account!.slug).toBe(now[n]);
        const all = [...owners].filter(([, owner]) => owner === id).map(([slug]) => slug);
        expect([account!.slug, ...account!.formerSlugs].sort()).toEqual(all.sort());
      }
    }),
    { numRuns: 12 },
  );
}, 60_000);
