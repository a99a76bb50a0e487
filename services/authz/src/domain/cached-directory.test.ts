import { expect, it } from "vitest";
import { CachedDirectory } from "./cached-directory.ts";
import { FreshnessGate } from "./freshness-gate.ts";
import type { IdentityReader } from "./identity-reader.ts";
import { TestVerifier } from "./verify.fixture.ts";

it("a key that is not cached is read, and counts as missed once", async () => {
  const authz = new TestVerifier();
  const { id } = authz.key("acc_org");
  const directory = new CachedDirectory(authz.options);
  expect((await directory.findKey(id))?.key.id).toBe(id);
  expect([authz.cache.misses, authz.cache.hits]).toEqual([1, 1]);
});

it("a key that is not cached is not waited for where identity is known to be out of reach", async () => {
  const authz = new TestVerifier();
  const identityProof = { ...authz.options.identityProof, isOutOfReach: true };
  const asked: string[] = [];
  const readKey = async (keyId: string) => {
    asked.push(keyId);
    throw new Error("not to be asked");
  };
  const directory = new CachedDirectory({
    ...authz.options,
    identityProof,
    identityGate: new FreshnessGate(identityProof, { boundMs: 1000, stalenessMaxMs: 10_000 }),
    identity: { readKey } as unknown as IdentityReader,
  });
  await expect(directory.findKey(authz.key("acc_org").id)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(asked).toEqual([]);
});
