import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type AuditEvent, auditedKey } from "../src/domain/events/audit.ts";
import { EVENT_TYPES } from "../src/domain/events/event.ts";
import { eventsOfChange, TOLD_ACTIONS } from "../src/domain/events/event-of-change.ts";
import type { Key } from "../src/domain/keys/key.ts";

const change: AuditEvent = {
  id: "evt_00000000000000000001",
  at: new Date(0),
  actorKeyId: "key_a",
  actorAccountId: "acc_a",
  action: "",
  target: "key_b",
  outcome: "OK",
  before: null,
  after: null,
  accountPath: ["acc_root", "acc_a"],
};

it("every type that there is stands in the documentation, and no other", () => {
  const text = readFileSync(join(import.meta.dirname, "../../../docs/events.md"), "utf8");
  const [, table] = text.split("| type | when | `data` |");
  const first = table!.split("\n").map((line) => line.split("|")[1] ?? "");
  const documented = first.flatMap((cell) =>
    [...cell.matchAll(/`([a-z]+\.[a-z]+)`/g)].map(([, type]) => type),
  );
  expect(documented.sort()).toEqual([...EVENT_TYPES].sort());
});

it("a refused attempt is told to nobody, whatever it was at", () => {
  for (const action of TOLD_ACTIONS) {
    expect(eventsOfChange({ ...change, action }).length, action).toBeGreaterThan(0);
    expect(eventsOfChange({ ...change, action, outcome: "NOT_FOUND" })).toEqual([]);
  }
});

it("an event shows of a key what it is documented to show, whatever the audit comes to show", () => {
  const key: Key = {
    id: "key_b",
    accountId: "acc_a",
    parentKeyId: undefined,
    kind: "ACCOUNT",
    name: "bot",
    status: "ENABLED",
    masked: "gth_acc_…",
    labels: { a: "b" },
    userId: undefined,
    expiresAtMs: 1000,
    secretHashes: ["hash"],
    retiringHashes: [{ hash: "hash", untilMs: 1 }],
    signing: {
      algorithm: "HMAC_SHA256",
      keys: [{ value: "sealed", untilMs: undefined }],
      strictReplay: false,
    },
  } as unknown as Key;
  const after = { ...(auditedKey(key) as object), surprise: "sealed" };
  const [event] = eventsOfChange({ ...change, action: "gatehouse.keys.rotate", after });
  expect(event).toEqual({
    type: "key.rotated",
    at: change.at,
    accountPath: change.accountPath,
    subject: "key_b",
    data: {
      account_id: "acc_a",
      parent_key_id: "",
      kind: "ACCOUNT",
      name: "bot",
      status: "ENABLED",
      masked: "gth_acc_…",
      labels: { a: "b" },
      user_id: "",
      expires_at: "1970-01-01T00:00:01.000Z",
    },
  });
});
