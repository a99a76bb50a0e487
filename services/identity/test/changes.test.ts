import { KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { streamSnapshot } from "../src/storage/snapshot.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

describe("changes", () => {
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
