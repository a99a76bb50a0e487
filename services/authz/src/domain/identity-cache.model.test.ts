import * as fc from "fast-check";
import { expect, it } from "vitest";
import { FakeIdentity } from "./identity.fixture.ts";
import { IdentityCache } from "./identity-cache.ts";
import type { ResolvedKeys } from "./resolved.ts";

/**
 * Changes, reads that are answered late or early, evictions, expiry and restarts in any order: whatever is in
 * the cache once it has applied the log is what identity holds.
 */

const keyIds = ["key_a", "key_a1", "key_a2", "key_b"];
const accountIds = ["acc_root", "acc_org", "acc_sub"];

type Step =
  | { readonly do: "key"; readonly id: string; readonly status: "ENABLED" | "DISABLED" | "REVOKED" }
  | { readonly do: "account"; readonly id: string; readonly status: "ACTIVE" | "SUSPENDED" | "CLOSED" }
  | { readonly do: "read"; readonly id: string }
  | { readonly do: "fill"; readonly nth: number }
  | { readonly do: "pull"; readonly changes: number }
  | { readonly do: "pass"; readonly ms: number }
  | { readonly do: "restart" };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("key" as const),
    id: fc.constantFrom(...keyIds),
    status: fc.constantFrom("ENABLED" as const, "DISABLED" as const, "REVOKED" as const),
  }),
  fc.record({
    do: fc.constant("account" as const),
    id: fc.constantFrom(...accountIds),
    status: fc.constantFrom("ACTIVE" as const, "SUSPENDED" as const, "CLOSED" as const),
  }),
  { weight: 3, arbitrary: fc.record({ do: fc.constant("read" as const), id: fc.constantFrom(...keyIds) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("fill" as const), nth: fc.nat({ max: 5 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("pull" as const), changes: fc.integer({ min: 1, max: 4 }) }),
  },
  fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(400, 1001) }),
  fc.record({ do: fc.constant("restart" as const) }),
);

function run(capacity: number, steps: readonly Step[]): void {
  const identity = new FakeIdentity();
  identity.putAccount("acc_sub", { parentId: "acc_org" });
  let nowMs = 1_000_000;
  const cache = new IdentityCache({ capacity, lifetimeMs: 1000, nowMs: () => nowMs });
  cache.restart(identity.position);
  const reads: { readonly id: string; readonly answer: ResolvedKeys }[] = [];
  const pull = (changes: number) => {
    const at = cache.position()!;
    cache.apply(at, identity.changesAfter(at.revision).slice(0, changes));
  };
  for (const next of steps) {
    switch (next.do) {
      case "key":
        // Made at its first change; revoked is final.
        if (identity.keys.get(next.id)?.status === "REVOKED") break;
        if (next.id.length > 5 && !identity.keys.has("key_a"))
          identity.putKey("key_a", { accountId: "acc_sub" });
        identity.putKey(next.id, {
          accountId: next.id === "key_b" ? "acc_org" : "acc_sub",
          parentKeyId: next.id.length > 5 ? "key_a" : undefined,
          status: next.status,
        });
        break;
      case "account":
        if (identity.accounts.get(next.id)!.status !== "CLOSED")
          identity.putAccount(next.id, { status: next.status });
        break;
      case "read":
        reads.push({ id: next.id, answer: identity.resolveKeys([next.id]) });
        break;
      case "fill": {
        const [read] = reads.splice(next.nth % Math.max(reads.length, 1), 1);
        if (read !== undefined) cache.fillKey(read.id, read.answer);
        break;
      }
      case "pull":
        pull(next.changes);
        break;
      case "pass":
        nowMs += next.ms;
        break;
      case "restart":
        cache.restart(identity.position);
    }
    expect(cache.size).toBeLessThanOrEqual(capacity);
  }
  pull(Number.POSITIVE_INFINITY);
  for (const id of keyIds) {
    if (cache.isUnknownKey(id)) expect(identity.keys.has(id), id).toBe(false);
    const entry = cache.key(id);
    if (entry === undefined) continue;
    expect(entry.key, id).toEqual(identity.keys.get(id));
    expect(entry.parent?.status, id).toBe(identity.keys.get(entry.key.parentKeyId ?? "")?.status);
    for (const account of entry.accounts) {
      expect(account.status, `${id} ${account.id}`).toBe(identity.accounts.get(account.id)!.status);
    }
  }
}

it("holds what identity holds once it has applied the log, whatever came late, early, or not at all", () => {
  const steps = fc.array(step, { minLength: 1, maxLength: 60 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), steps, run), { numRuns: 3000 });
});
