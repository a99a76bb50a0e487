import { describe, expect, it } from "vitest";
import type { AuditEvent } from "../src/domain/events/audit.ts";
import type { Change, Store } from "../src/domain/store.ts";
import { doneOrWaiting } from "./stage.ts";
import { type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

/**
 * Makes the first call, and the second one while the first has written and not yet committed. Answers how both ended,
 * and what `look` sees then.
 */
async function race<T>(
  wrapStore: (store: Store) => Store,
  { before, first, second, paused, look }: Race<T>,
): Promise<{ outcomes: string[]; seen: T }> {
  const written = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  let armed = false;
  const slow = (store: Store): Store => ({
    ...readsOf(store),
    change: <R>(work: (change: Change) => Promise<R>) =>
      store.change((change) =>
        work({
          ...change,
          audit: async (event) => {
            await change.audit(event);
            if (event.action !== paused || !armed) return;
            written.resolve();
            await over.promise;
          },
        }),
      ),
  });
  const system = await startSystem({ wrapStore: (store) => slow(wrapStore(store)) });
  try {
    await system.root.plans.createPlan({ name: "bought" }, timely);
    await system.root.types.createType({ name: "taken", open: true }, timely);
    await before?.(system.root);
    armed = true;
    const begun = reasonOf(first(system.root));
    await written.promise;
    armed = false;
    const ended = reasonOf(second(system.root));
    await doneOrWaiting(system, ended);
    over.resolve();
    return { outcomes: await Promise.all([begun, ended]), seen: await look(system) };
  } finally {
    await system.stop();
  }
}

interface Race<T> {
  readonly before?: (root: Caller) => Promise<void>;
  readonly first: (root: Caller) => Promise<unknown>;
  readonly second: (root: Caller) => Promise<unknown>;
  /** The action of the first. */
  readonly paused: string;
  readonly look: (system: System) => Promise<T>;
}

function withGates(store: Store): Store {
  return store;
}

function withoutGates(store: Store): Store {
  return {
    ...readsOf(store),
    change: (work) => store.change((change) => work({ ...change, gate: async () => {} })),
  };
}

function readsOf(store: Store) {
  return { ...store, recordRefusal: (event: AuditEvent) => store.recordRefusal(event) };
}

const deletedWhileBought: Race<number> = {
  first: (root) => root.accounts.createAccount({ name: "buyer", plan: "bought" }, timely),
  second: (root) => root.plans.deletePlan({ plan: "bought" }, timely),
  paused: "gatehouse.accounts.create",
  look: async ({ root }) => (await root.plans.listPlans({}, timely)).plans.length,
};

const deletedWhileTaken: Race<number> = {
  first: (root) => root.accounts.createAccount({ name: "taker", type: "taken" }, timely),
  second: (root) => root.types.deleteType({ type: "taken" }, timely),
  paused: "gatehouse.accounts.create",
  look: async ({ root }) => (await root.types.listTypes({}, timely)).types.length,
};

const typeBesideTerms: Race<number[]> = {
  first: (root) => root.types.createType({ name: "exchange", scopeCeiling: ["a"] }, timely),
  second: (root) => root.terms.createTerms({ document: "api-terms", version: "1", gates: ["none"] }, timely),
  paused: "gatehouse.types.create",
  look: async ({ feed }) => {
    const { accounts } = await feed.resolveAccounts({ names: [{ account: "provider" }] }, timely);
    const { types, terms } = accounts[0]!.providerRules!;
    return [types.length, terms.length];
  },
};

const endpoint = { name: "read", method: "GET", path: "/weather", resource: "weather.read" };
const sameEndpoint: Race<number> = {
  first: (root) => root.catalog.createApi({ name: "one", endpoints: [endpoint] }, timely),
  second: (root) => root.catalog.createApi({ name: "two", endpoints: [endpoint] }, timely),
  paused: "gatehouse.catalog.create",
  look: async ({ root }) => (await root.catalog.listApis({}, timely)).apis.length,
};

const lastOfMany: Race<number> = {
  async before(root) {
    for (let n = 0; n < 99; n++) await root.integrations.createIntegration({ name: `i${n}` }, timely);
  },
  first: (root) => root.integrations.createIntegration({ name: "first" }, timely),
  second: (root) => root.integrations.createIntegration({ name: "second" }, timely),
  paused: "gatehouse.integrations.create",
  look: async ({ root }) => (await root.integrations.listIntegrations({}, timely)).integrations.length,
};

describe("while another change is being made", () => {
  it("a plan that is being bought is not deleted", async () => {
    const { outcomes, seen } = await race(withGates, deletedWhileBought);
    expect(outcomes).toEqual(["OK", "IN_USE"]);
    expect(seen).toBe(2);
  });

  it("a type that an account is being made of is not deleted", async () => {
    const { outcomes, seen } = await race(withGates, deletedWhileTaken);
    expect(outcomes).toEqual(["OK", "IN_USE"]);
    expect(seen).toBe(1);
  });

  it("a type and terms both reach the root's node", async () => {
    const { outcomes, seen } = await race(withGates, typeBesideTerms);
    expect(outcomes).toEqual(["OK", "OK"]);
    expect(seen).toEqual([2, 1]);
  });

  it("no bound is passed", async () => {
    const { outcomes, seen } = await race(withGates, lastOfMany);
    expect(outcomes).toEqual(["OK", "PLAN_LIMIT"]);
    expect(seen).toBe(100);
  });

  it("no two APIs take one endpoint", async () => {
    const { outcomes, seen } = await race(withGates, sameEndpoint);
    expect(outcomes).toEqual(["OK", "INVALID_FIELD"]);
    expect(seen).toBe(1);
  });
});

describe("without gates", () => {
  it("an organization is left with a plan that is gone", async () => {
    const { outcomes, seen } = await race(withoutGates, deletedWhileBought);
    expect(outcomes).toEqual(["OK", "OK"]);
    expect(seen).toBe(1);
  });

  it("an account is left with a type that is gone", async () => {
    expect((await race(withoutGates, deletedWhileTaken)).seen).toBe(0);
  });

  it("of a type and terms that come at once, one is lost to the root's node", async () => {
    expect((await race(withoutGates, typeBesideTerms)).seen).not.toEqual([2, 1]);
  });

  it("a bound is passed", async () => {
    expect((await race(withoutGates, lastOfMany)).seen).toBe(101);
  });

  it("two APIs take one endpoint", async () => {
    expect((await race(withoutGates, sameEndpoint)).seen).toBe(2);
  });
});
