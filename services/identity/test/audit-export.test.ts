import type { AuditEvent } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { type Caller, type System, startSystem, timely } from "./system.ts";

/** Some sixty megabytes of events: more than the transport reads ahead, so that a reader can be slow. */
const EVENTS = 20_000;

let system: System;
let account: string;
let master: Caller;

beforeAll(async () => {
  system = await startSystem();
  const made = await system.root.accounts.createAccount({ name: "Exported" }, timely);
  account = made.account!.id;
  master = system.as(made.secret);
  await system.sql.query(
    `INSERT INTO audit_event (id, at, actor_key_id, actor_account_id, action, target, outcome, after, account_id, account_path)
     SELECT 'evt_' || lpad(n::text, 20, '0'), now() - interval '1 day' + n * interval '1 ms', 'key_some', $1,
       'gatehouse.keys.update', 'key_some', 'OK', jsonb_build_object('pad', repeat(md5(n::text), 100)), $1,
       (SELECT path FROM account WHERE id = $1)
     FROM generate_series(1, $2) n`,
    [account, EVENTS],
  );
});
afterAll(() => system?.stop());

/** An export of which the first part has been taken, and how it goes on. */
async function begun(caller: Caller) {
  const parts = caller.audit.exportEvents({}, { timeoutMs: 60_000 })[Symbol.asyncIterator]();
  const events: AuditEvent[] = [...(await parts.next()).value!.events];
  return {
    /** Reads on to the end; answers what came, and the reason of a failure. */
    async rest(): Promise<{ events: AuditEvent[]; reason: string }> {
      try {
        for (let part = await parts.next(); !part.done; part = await parts.next()) {
          events.push(...part.value.events);
        }
        return { events, reason: "OK" };
      } catch (error) {
        return { events, reason: (error as { reason: string }).reason };
      }
    },
  };
}

let keys = 0;
async function reader(): Promise<{ id: string; caller: Caller }> {
  const wanted = { name: `reader ${++keys}`, scopes: ["gatehouse.audit.read"] };
  const { key, secret } = await master.keys.createKey(wanted, timely);
  return { id: key!.id, caller: system.as(secret) };
}

describe("an export ends where its key", () => {
  test.each<[string, string, (key: string) => Promise<unknown>]>([
    ["is revoked", "CREDENTIAL_INVALID", (key) => master.keys.revokeKey({ key }, timely)],
    ["is disabled", "KEY_DISABLED", (key) => master.keys.disableKey({ key }, timely)],
    ["is rotated", "CREDENTIAL_INVALID", (key) => master.keys.rotateKey({ key }, timely)],
    [
      "loses the scope",
      "SCOPE_DENIED",
      (key) => master.keys.updateKey({ key, scopes: ["gatehouse.keys.read"] }, timely),
    ],
  ])("%s, with %s", async (_what, reason, stop) => {
    const { id, caller } = await reader();
    const reading = await begun(caller);
    await stop(id);
    const { events, reason: end } = await reading.rest();
    expect(end).toBe(reason);
    expect(events.length).toBeLessThan(EVENTS);
  });

  it("loses the reach, as if the account were not there", async () => {
    const parts = system.root.audit.exportEvents({ account }, { timeoutMs: 60_000 })[Symbol.asyncIterator]();
    await parts.next();
    await system.sql.query("UPDATE account SET isolated = true WHERE parent_id IS NULL");
    const drained = (async () => {
      while (!(await parts.next()).done);
    })();
    await expect(drained).rejects.toMatchObject({ reason: "NOT_FOUND" });
    await system.sql.query("UPDATE account SET isolated = false WHERE parent_id IS NULL");
  });
});

it("an export has all that there was when it began, and nothing that came later", async () => {
  const { caller } = await reader();
  const reading = await begun(caller);
  const { key } = await master.keys.createKey({ name: "later" }, timely);
  const { events, reason } = await reading.rest();
  expect(reason).toBe("OK");
  expect(events.length).toBeGreaterThan(EVENTS);
  expect(events.some(({ target }) => target === key!.id)).toBe(false);
  expect(events.at(-1)!.action).toBe("gatehouse.keys.create");
});
