import { describe, expect, it } from "vitest";
import type { CatalogBook } from "./catalog-book.ts";
import { FreshnessGate } from "./freshness-gate.ts";
import type { IdentityReader } from "./identity-reader.ts";
import type { LeasePool } from "./lease-pool.ts";
import { callOf, keyed, TestVerifier } from "./verify.fixture.ts";
import { Verifier } from "./verify.ts";

describe("a wait", () => {
  it("for units says nothing of a key that was forgotten meanwhile, which is read again", async () => {
    const authz = new TestVerifier();
    const key = authz.key("acc_org");
    keyed(authz, key);
    const bucket = { limit: { kind: "quota" }, windowEndMs: undefined, left: () => 0 };
    const pool = {
      charge: () => ({ kind: "lacking", ask: { needs: [], due: [] } }),
      acquire: async () => {
        authz.identity.putKey(key.id, { status: "REVOKED" });
        authz.cache.restart(authz.identity.position);
        return { outcome: "EXHAUSTED", limitId: "lim_1", remaining: 0, leased: 0, held: 0 };
      },
      bucket: () => bucket,
    };
    const verifier = new Verifier({ ...authz.options, pool: pool as unknown as LeasePool });
    expect((await verifier.verify(callOf(key), authz.provider)).code).toBe("NOT_FOUND");
  });

  it("for identity is spared where it is known to be out of reach", async () => {
    const authz = new TestVerifier();
    const key = authz.key("acc_org", { kind: "MASTER" });
    keyed(authz, key);
    const proof = { ...authz.options.identityProof, isOutOfReach: true };
    const asked: string[] = [];
    const ask = (what: string) => async () => {
      asked.push(what);
      throw new Error("not to be asked");
    };
    const verifier = new Verifier({
      ...authz.options,
      identityGate: new FreshnessGate(proof, { boundMs: 1000, stalenessMaxMs: 10_000 }),
      identity: { readTarget: ask("name"), readKey: ask("key") } as unknown as IdentityReader,
      catalog: { isFilled: false, fill: ask("catalog") } as unknown as CatalogBook,
    });
    const http = { method: "GET", path: "/" };
    for (const call of [{ account: "team" }, { http }, { presented: authz.key("acc_org").presented }]) {
      const { code } = await verifier.verify(callOf({ ...key, ...call }), authz.provider);
      expect([code, asked]).toEqual(["INDETERMINATE", []]);
    }
    expect((await verifier.verify(callOf(key), authz.provider)).code).toBe("VALID");
  });
});
