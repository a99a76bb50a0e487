import { MissBudget } from "@gatehouse/access";
import { describe, expect, it } from "vitest";
import { IdentityReader } from "./identity-reader.ts";
import { callOf, TestVerifier } from "./verify.fixture.ts";
import { Verifier } from "./verify.ts";
import { forUnits } from "./wait.ts";
import { type Caller, Waiters } from "./waiters.ts";

const call = callOf({});

/** A wait that ends when it is let go. */
function hung() {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return { wait: () => promise, letGo: () => resolve(undefined) };
}

describe("waiting", () => {
  it("is bounded, for units and for all else apart; who comes in excess is told at once", async () => {
    const waiters = new Waiters(2);
    const first = hung();
    const held = [waiters.hold(first.wait, call, undefined), waiters.hold(first.wait, call, undefined)];
    const tooMany = { code: "INDETERMINATE", cause: "overload", retryAfterMs: 1000 };
    expect(await waiters.hold(first.wait, call, undefined)).toEqual(tooMany);
    const units = hung();
    const unitsHeld = [1, 2].map(() =>
      waiters.hold(
        forUnits(() => units.wait()),
        call,
        undefined,
      ),
    );
    expect(
      await waiters.hold(
        forUnits(() => units.wait()),
        call,
        undefined,
      ),
    ).toEqual(tooMany);
    expect(waiters.count).toBe(4);
    first.letGo();
    units.letGo();
    expect(await Promise.all([...held, ...unitsHeld])).toEqual(Array(4).fill(undefined));
    expect(waiters.count).toBe(0);
    expect(await waiters.hold(async () => undefined, call, undefined)).toBeUndefined();
  });

  it("gives its place back where it fails", async () => {
    const waiters = new Waiters(1);
    const failing = async () => {
      throw new Error("no luck");
    };
    for (let i = 0; i < 3; i++) {
      await expect(waiters.hold(failing, call, undefined)).rejects.toThrow("no luck");
    }
    expect(waiters.count).toBe(0);
  });
});

describe("a call that waits for its key", () => {
  /** A verifier whose identity answers when it is let go, and one call by a caller. */
  function asked(caller: Caller) {
    const authz = new TestVerifier();
    authz.account("acc_sub", { parentId: "acc_org" });
    const key = authz.key("acc_sub");
    const identity = hung();
    const reader = new IdentityReader(
      {
        resolveKeys: async (ids) => {
          await identity.wait();
          return authz.identity.resolveKeys(ids);
        },
        resolveHashes: async (hashes) => authz.identity.resolveHashes(hashes),
        resolveTarget: async (organizationId, name) => authz.identity.resolveTarget(organizationId, name),
      },
      authz.cache,
      new MissBudget({ perSecond: 10, burst: 5 }, () => 0),
    );
    const verifier = new Verifier({ ...authz.options, identity: reader });
    const decision = verifier.verify(callOf({ presented: key.presented }), authz.provider, caller);
    return { authz, decision, ...identity };
  }

  it("is decided and charged when it is there", async () => {
    const { authz, decision, letGo } = asked({ isAbandoned: false });
    letGo();
    expect(await decision).toMatchObject({ code: "VALID" });
    expect(authz.charged).toBe(1);
  });

  it("is neither decided nor charged where its caller left meanwhile", async () => {
    const caller = { isAbandoned: false };
    const { authz, decision, letGo } = asked(caller);
    caller.isAbandoned = true;
    letGo();
    await expect(decision).rejects.toMatchObject({ code: "CANCELLED" });
    expect(authz.charged).toBe(0);
  });
});
