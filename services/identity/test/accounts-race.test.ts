import { describe, expect, it } from "vitest";
import type { AuditEvent } from "../src/domain/events/audit.ts";
import type { Change, Store } from "../src/domain/store.ts";
import { DEFAULT_PLAN } from "../src/index.ts";
import { doneOrWaiting } from "./stage.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

/** Holds the first change of one action of a subaccount between its writes and its commit. */
class Hold {
  readonly written = Promise.withResolvers<void>();
  readonly #passed = Promise.withResolvers<void>();
  readonly #action: string;

  constructor(action: string) {
    this.#action = action;
  }

  wrap(store: Store): Store {
    return {
      ...readsOf(store),
      change: (work) =>
        store.change((change) =>
          work({
            ...change,
            audit: async (event) => {
              await change.audit(event);
              if (event.action !== this.#action || event.accountPath.length < 3) return;
              this.written.resolve();
              await this.#passed.promise;
            },
          }),
        ),
    };
  }

  release(): void {
    this.#passed.resolve();
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

/**
 * Disables a type, and before that commits somebody makes an account of it. Answers what came of the making.
 */
async function makeWhileDisabling(wrapStore: (store: Store) => Store): Promise<string> {
  const hold = new Hold("gatehouse.accounts.disable-type");
  const system = await startSystem({
    plan: { ...DEFAULT_PLAN, depth: 2 },
    wrapStore: (store) => hold.wrap(wrapStore(store)),
  });
  try {
    const { root } = system;
    await root.types.createType({ name: "trader" }, timely);
    const org = await root.accounts.createAccount({ name: "org" }, timely);
    const master = system.as(org.secret);
    const child = await master.accounts.createAccount({ name: "child" }, timely);
    await root.accounts.enableType({ account: child.account!.id, type: "trader" }, timely);
    const disabling = root.accounts.disableType({ account: child.account!.id, type: "trader" }, timely);
    await hold.written.promise;
    const making = reasonOf(
      master.accounts.createAccount({ name: "late", parent: "child", type: "trader" }, timely),
    );
    await doneOrWaiting(system, making);
    hold.release();
    await disabling;
    return await making;
  } finally {
    await system.stop();
  }
}

async function isolate({ sql }: System, accountId: string, isolated: boolean): Promise<void> {
  await sql.query("UPDATE account SET isolated = $2 WHERE id = $1", [accountId, isolated]);
}

describe("changes of accounts that meet", () => {
  it("an account is not made of a type that is being disabled", async () => {
    expect(await makeWhileDisabling((store) => store)).toBe("TYPE_NOT_ENABLED");
  });

  it("without gates it is", async () => {
    expect(await makeWhileDisabling(withoutGates)).toBe("OK");
  });

  it("a key whose account is isolated between the look-up and the change reaches nothing below it any more", async () => {
    let meanwhile: (() => Promise<void>) | undefined;
    const system = await startSystem({
      plan: { ...DEFAULT_PLAN, depth: 2 },
      wrapStore: (store) => ({
        ...readsOf(store),
        async change(work) {
          const run = meanwhile;
          meanwhile = undefined;
          await run?.();
          return store.change(work);
        },
      }),
    });
    try {
      const org = await system.root.accounts.createAccount({ name: "org" }, timely);
      const { accounts } = system.as(org.secret);
      const child = await accounts.createAccount({ name: "child" }, timely);
      const attempts = [
        () => accounts.updateAccount({ account: child.account!.id, labels: { a: "b" } }, timely),
        () => accounts.createAccount({ parent: child.account!.id, name: "below" }, timely),
      ];
      for (const attempt of attempts) {
        meanwhile = () => isolate(system, org.account!.id, true);
        expect(await reasonOf(attempt())).toBe("NOT_FOUND");
        await isolate(system, org.account!.id, false);
        expect(await reasonOf(attempt())).toBe("OK");
      }
    } finally {
      await system.stop();
    }
  });
});
