import { KeyKind, KeyStatus } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditEvent } from "../src/domain/audit.ts";
import type { Change, Store } from "../src/domain/store.ts";
import { streamSnapshot } from "../src/storage/snapshot.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

/** How long a mint stays between its writes and its commit, unless the revoke gets past it sooner. */
const MINTING_MS = 300;

/**
 * Revokes a key while it is minting a sub-key, whose rows are written and not yet committed.
 * Answers how many sub-keys live on.
 */
async function survivorsOfRevocation(wrapStore: (store: Store) => Store): Promise<number> {
  const minting = Promise.withResolvers<void>();
  const revoked = Promise.withResolvers<void>();
  const slow = (store: Store) => ({
    ...readsOf(store),
    change: <T>(work: (change: Change) => Promise<T>) =>
      store.change((change) =>
        work({
          ...change,
          audit: async (event) => {
            await change.audit(event);
            if (event.action !== "gatehouse.keys.create" || !JSON.stringify(event.after).includes("SUB"))
              return;
            minting.resolve();
            await Promise.race([revoked.promise, new Promise((resolve) => setTimeout(resolve, MINTING_MS))]);
          },
        }),
      ),
  });
  const { root, as, stop } = await startSystem({ wrapStore: (store) => slow(wrapStore(store)) });
  try {
    const { secret: masterSecret } = await root.accounts.createAccount({ name: "minting" }, timely);
    const { keys } = as(masterSecret);
    const { key, secret } = await keys.createKey({ name: "minter", roles: ["administrator"] }, timely);
    const minted = as(secret).keys.createKey({ name: "late", kind: KeyKind.SUB }, timely);
    await minting.promise;
    await keys.revokeKey({ key: key!.id }, timely);
    revoked.resolve();
    await minted;
    return (await keys.listKeys({ kind: KeyKind.SUB }, timely)).keys.length;
  } finally {
    await stop();
  }
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

describe("changes", () => {
  it("have revisions without a gap under 16 writers, and the feed tells all of them", async () => {
    const { head: before } = await system.feed.getHead({}, timely);
    const owner = await system.root.accounts.createAccount({ name: "writers" }, timely);
    const master = system.as(owner.secret);
    const writers = Array.from({ length: 16 }, async (_, writer) => {
      for (let n = 0; n < 4; n++) {
        const { key } = await master.keys.createKey({ name: `w${writer} n${n}` }, timely);
        await master.keys.revokeKey({ key: key!.id }, timely);
      }
    });
    await Promise.all(writers);
    const { changes, head } = await system.feed.listChanges({ after: before! }, timely);
    expect(changes).toHaveLength(2 + 16 * 4 * 2);
    expect(changes.map(({ revision }) => revision)).toEqual(
      changes.map((_, n) => before!.revision + 1n + BigInt(n)),
    );
    expect(changes.at(-1)!.revision).toBe(head!.revision);
    const revoked = changes.flatMap(({ entity }) =>
      entity.case === "key" && entity.value.status === KeyStatus.REVOKED ? [entity.value] : [],
    );
    expect(revoked).toHaveLength(16 * 4 * 2);
    expect(revoked.every(({ secretHashes }) => secretHashes.length === 0)).toBe(true);
  });

  it("are followed from a snapshot, and resolved in one", async () => {
    const org = await system.root.accounts.createAccount({ name: "followed" }, timely);
    const master = system.as(org.secret);
    const { account: child } = await master.accounts.createAccount({ name: "child" }, timely);
    const { key: sub } = await master.keys.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
    await system.root.meters.createMeter({ name: "tokens" }, timely);
    const { head } = await system.feed.getHead({}, timely);
    const seen: string[] = [];
    for await (const { position, entities } of system.feed.snapshot({}, timely)) {
      expect(position).toEqual(head);
      for (const { entity } of entities) {
        if (entity.case === "account" && entity.value.parentId !== "")
          expect(seen).toContain(entity.value.parentId);
        if (entity.case === "key") expect(seen).toContain(entity.value.accountId);
        seen.push("id" in entity.value! ? entity.value.id : entity.value!.name);
      }
    }
    expect(seen).toEqual(expect.arrayContaining(["requests", "tokens", child!.id, sub!.id]));

    const keys = await system.feed.resolveKeys({ keyIds: [sub!.id, "key_none"] }, timely);
    expect(keys.keys.map(({ id }) => id).sort()).toEqual([org.key!.id, sub!.id].sort());
    expect(keys.accounts).toHaveLength(2);
    expect(keys.position).toEqual(head);
    const names = [
      { account: "followed/child" },
      { account: "child", organizationId: org.account!.id },
      { account: "followed", organizationId: org.account!.id },
      { account: child!.id },
      { account: "child" },
    ];
    const accounts = await system.feed.resolveAccounts({ names }, timely);
    expect(accounts.accountIds).toEqual([child!.id, child!.id, org.account!.id, child!.id, ""]);
    const elsewhere = { incarnation: "another", revision: 0n };
    expect(await reasonOf(system.feed.listChanges({ after: elsewhere }, timely))).toBe("LOG_TRUNCATED");
  });

  it("a reader that leaves a snapshot half-way frees what it held", async () => {
    const transactions = async () =>
      (
        await system.sql.query(
          `SELECT pid FROM pg_stat_activity
           WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
        )
      ).rows;
    const stream = streamSnapshot(system.identity.changeLog);
    await stream.next();
    expect(await transactions()).toHaveLength(1);
    await stream.return(undefined);
    expect(await transactions()).toEqual([]);
  });

  it("a key being revoked mints nothing that outlives it", async () => {
    expect(await survivorsOfRevocation((store) => store)).toBe(0);
  });

  it("without gates, what a key mints while being revoked outlives it", async () => {
    expect(await survivorsOfRevocation(withoutGates)).toBe(1);
  });

  it("a writer frozen inside its transaction delays a revoke by a second at most", async () => {
    const org = await system.root.accounts.createAccount({ name: "frozen" }, timely);
    const master = system.as(org.secret);
    const { key } = await master.keys.createKey({ name: "victim" }, timely);
    const [gated, thawed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const frozen = system.identity.changeLog.commit(async (tx) => {
      await tx.gate({ reliedOn: [key!.id] });
      gated.resolve();
      await thawed.promise;
    });
    await gated.promise;
    const startedMs = performance.now();
    await master.keys.revokeKey({ key: key!.id }, timely);
    const tookMs = performance.now() - startedMs;
    thawed.resolve();
    // The gate was shut, and the server opened it; what was frozen did not commit.
    expect(tookMs).toBeGreaterThan(500);
    expect(tookMs).toBeLessThan(2000);
    await expect(frozen).rejects.toThrow();
  });

  it("and refusals are on record, without secrets", async () => {
    const org = await system.root.accounts.createAccount({ name: "audited" }, timely);
    const master = system.as(org.secret);
    const { key, secret } = await master.keys.createKey({ name: "reader", roles: ["auditor"] }, timely);
    const reader = system.as(secret);
    expect(await reasonOf(reader.keys.createKey({ name: "no" }, timely))).toBe("SCOPE_DENIED");
    expect(await reasonOf(master.keys.revokeKey({ key: org.key!.id }, timely))).toBe("SELF_LOCKOUT");
    expect(await reasonOf(master.keys.revokeKey({ key: "key_none" }, timely))).toBe("NOT_FOUND");
    await master.keys.disableKey({ key: key!.id }, timely);
    const { rows } = await system.sql.query(
      "SELECT * FROM audit_event WHERE actor_account_id = $1 ORDER BY id",
      [org.account!.id],
    );
    expect(rows.map(({ action, target, outcome }) => [action, target, outcome])).toEqual([
      ["gatehouse.keys.create", key!.id, "OK"],
      ["gatehouse.keys.create", "", "SCOPE_DENIED"],
      ["gatehouse.keys.revoke", org.key!.id, "SELF_LOCKOUT"],
      ["gatehouse.keys.revoke", "key_none", "NOT_FOUND"],
      ["gatehouse.keys.disable", key!.id, "OK"],
    ]);
    expect(rows.at(-1)).toMatchObject({ before: { status: "ENABLED" }, after: { status: "DISABLED" } });
    const hashes = await system.sql.query("SELECT unnest(secret_hashes) AS hash FROM key");
    const everything = JSON.stringify((await system.sql.query("SELECT * FROM audit_event")).rows);
    for (const { hash } of hashes.rows) expect(everything).not.toContain(hash);
    expect(everything).not.toContain(secret);
  });
});
