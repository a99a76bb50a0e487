import { effectiveGrant } from "@gatehouse/access";
import { accountNode, keyNode } from "@gatehouse/access/wire";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

/** What there is to do to Gatehouse, in part, and something of the API. */
const RESOURCES = ["roles", "keys", "accounts", "credits"].flatMap((noun) =>
  ["read", "create", "update", "delete"].map((verb) => `gatehouse.${noun}.${verb}`),
);
const HELD = ["gatehouse.roles.*", "gatehouse.*.read", "orders.read"];

/** What a key may do now, as every service decides it. */
async function allowed(keyId: string): Promise<string[]> {
  const { keys, accounts } = await system.feed.resolveKeys({ keyIds: [keyId] }, timely);
  const nodes = accounts.map(accountNode);
  const key = keyNode(keys[0]!);
  const chain = [];
  for (let id: string | undefined = key.accountId; id !== undefined; ) {
    const account = nodes.find((node) => node.id === id)!;
    chain.push(account);
    id = account.parentId;
  }
  const grant = effectiveGrant({ key, parent: undefined, chain });
  return RESOURCES.filter((resource) => grant.allows(resource));
}

const scope = fc.constantFrom(
  ...["**", "gatehouse.**", "gatehouse.*.read", "gatehouse.roles.*", "gatehouse.keys.create"],
  ...[
    "!gatehouse.**",
    "!gatehouse.keys.**",
    "!orders.**",
    "orders.**",
    "*.roles.update",
    "!gatehouse.roles.*",
  ],
);
const scopes = fc.array(scope, { minLength: 1, maxLength: 3 });
const role = fc.constantFrom("clerk", "extra", "above");
const step = fc.oneof(
  fc.record({ does: fc.constant("create" as const), role, scopes }),
  fc.record({ does: fc.constant("update" as const), role, scopes }),
  fc.record({ does: fc.constant("delete" as const), role, scopes }),
);
type Step = {
  readonly does: "create" | "update" | "delete";
  readonly role: string;
  readonly scopes: string[];
};

function take({ roles }: Caller, { does, role, scopes }: Step): Promise<unknown> {
  if (does === "create") return roles.createRole({ name: role, scopes }, timely);
  if (does === "update") return roles.updateRole({ role, scopes }, timely);
  return roles.deleteRole({ role }, timely);
}

it("no sequence of role changes lets a key do more to Gatehouse than before", async () => {
  const { secret } = await system.root.accounts.createAccount({ name: "org" }, timely);
  const master = system.as(secret);
  await master.roles.createRole({ name: "above", scopes: ["gatehouse.**"] }, timely);
  let run = 0;
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 8 }), async (steps) => {
      const { account } = await master.accounts.createAccount({ name: `child ${++run}` }, timely);
      const own = { account: account!.id };
      await master.roles.createRole({ ...own, name: "clerk", scopes: HELD }, timely);
      // Hides the strong role of the account above, so that the clerk may have it.
      await master.roles.createRole({ ...own, name: "above", scopes: ["orders.**"] }, timely);
      await master.roles.createRole({ ...own, name: "extra", scopes: ["orders.**"] }, timely);
      const wanted = { ...own, name: "clerk", roles: ["clerk", "above", "extra"] };
      const { key, secret } = await master.keys.createKey(wanted, timely);
      const clerk = system.as(secret);
      let before = await allowed(key!.id);
      for (const each of steps) {
        if ((await reasonOf(take(clerk, each))) === "OK") taken++;
        const now = await allowed(key!.id);
        expect(before).toEqual(expect.arrayContaining(now));
        before = now;
      }
    }),
    { numRuns: 40 },
  );
  // Steps that are all refused would show nothing.
  expect(taken).toBeGreaterThan(10);
});
