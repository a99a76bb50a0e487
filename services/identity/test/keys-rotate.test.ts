import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { KeyKind, SigningAlgorithm } from "@gatehouse/proto/identity";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditEvent } from "../src/domain/events/audit.ts";
import type { Change, KeyWrites, Store } from "../src/domain/store.ts";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let master: Caller;
let nowMs = Date.UTC(2030, 0, 1);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

beforeAll(async () => {
  system = await startSystem({ nowMs: () => nowMs });
  master = system.as((await system.root.accounts.createAccount({ name: "rotations" }, timely)).secret);
});
afterAll(() => system?.stop());

/** Whether it is a credential that works now. */
async function works(secret: string): Promise<boolean> {
  const { status } = await system.json(secret, "KeyService/WhoAmI", {});
  expect([200, 401]).toContain(status);
  return status === 200;
}

describe("rotating a key", () => {
  it("gives it a new secret, and its id, name, labels, sub-keys and history stay", async () => {
    const labels = { team: "a" };
    const first = await master.keys.createKey({ name: "kept", roles: ["administrator"], labels }, timely);
    const key = first.key!.id;
    const sub = await system.as(first.secret).keys.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
    const second = await master.keys.rotateKey({ key }, timely);
    expect(second.key).toMatchObject({ id: key, name: "kept", labels, masked: first.key!.masked });
    expect(second.secret).not.toBe(first.secret);
    expect([await works(first.secret), await works(second.secret), await works(sub.secret)]).toEqual([
      false,
      true,
      true,
    ]);
    const { rows } = await system.sql.query(
      "SELECT action, before, after FROM audit_event WHERE target = $1 ORDER BY id",
      [key],
    );
    expect(rows.map(({ action }) => action)).toEqual(["gatehouse.keys.create", "gatehouse.keys.rotate"]);
    for (const hidden of [first.secret, second.secret, ...(await hashesOf(key))]) {
      expect(JSON.stringify(rows)).not.toContain(hidden);
    }
  });

  it("lets the secret before work until its grace ends, and says when that is", async () => {
    const { key, secret } = await master.keys.createKey({ name: "graceful" }, timely);
    const { key: rotated } = await master.keys.rotateKey(
      { key: key!.id, grace: durationFromMs(HOUR_MS) },
      timely,
    );
    expect(rotated!.graceEndsAt).toEqual(timestampFromMs(nowMs + HOUR_MS));
    nowMs += HOUR_MS - 1;
    expect(await works(secret)).toBe(true);
    nowMs += 1;
    expect(await works(secret)).toBe(false);
    const { key: after } = await master.keys.getKey({ key: key!.id }, timely);
    expect(after!.graceEndsAt).toBeUndefined();
    // What has ended is forgotten with the next change.
    const retiring = "SELECT retiring_hashes FROM key WHERE id = $1";
    expect((await system.sql.query(retiring, [key!.id])).rows[0].retiring_hashes).toHaveLength(1);
    await master.keys.disableKey({ key: key!.id }, timely);
    expect((await system.sql.query(retiring, [key!.id])).rows[0].retiring_hashes).toEqual([]);
  });

  it("any rotations: exactly those secrets work that a list of ends says", async () => {
    const command = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ rotate: fc.constantFrom(0, 1, HOUR_MS, HOUR_MS, DAY_MS, 30 * DAY_MS) }),
      },
      { weight: 1, arbitrary: fc.record({ wait: fc.constantFrom(1, HOUR_MS - 1, HOUR_MS, DAY_MS) }) },
    );
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 3, maxLength: 12 }), async (commands) => {
        const { key, secret } = await master.keys.createKey({ name: `model ${runs++}` }, timely);
        let current = secret;
        let earlier: { secret: string; untilMs: number }[] = [];
        const ended: string[] = [];
        for (const each of commands) {
          if ("wait" in each) {
            nowMs += each.wait;
          } else {
            const living = earlier.filter(({ untilMs }) => nowMs < untilMs);
            const grace = durationFromMs(each.rotate);
            const answer = await master.keys
              .rotateKey({ key: key!.id, grace }, timely)
              .catch((error) => error);
            if (each.rotate > 0 && living.length === 5) {
              expect(answer.reason).toBe("IN_USE");
            } else if (each.rotate === 0) {
              ended.push(current, ...earlier.map(({ secret }) => secret));
              [current, earlier] = [answer.secret, []];
            } else {
              earlier = [{ secret: current, untilMs: nowMs + each.rotate }, ...earlier];
              current = answer.secret;
            }
          }
          const expected = [
            [current, true],
            ...earlier.map(({ secret, untilMs }) => [secret, nowMs < untilMs]),
            ...ended.map((secret) => [secret, false]),
          ] as [string, boolean][];
          const found = await Promise.all(expected.map(([secret]) => works(secret)));
          expect(found).toEqual(expected.map(([, valid]) => valid));
        }
        await master.keys.revokeKey({ key: key!.id }, timely);
        const all = [current, ...earlier.map(({ secret }) => secret), ...ended];
        expect(await Promise.all(all.map(works))).toEqual(all.map(() => false));
        const { rows } = await system.sql.query("SELECT * FROM key WHERE id = $1", [key!.id]);
        expect(rows[0]).toMatchObject({ secret_hashes: [], retiring_hashes: [] });
      }),
      { numRuns: 12 },
    );
  });

  it("a disabled key is rotated and stays disabled; a revoked one is not", async () => {
    const { key } = await master.keys.createKey({ name: "stopped" }, timely);
    await master.keys.disableKey({ key: key!.id }, timely);
    const { secret } = await master.keys.rotateKey({ key: key!.id }, timely);
    expect(await reasonOf(system.as(secret).keys.whoAmI({}, timely))).toBe("KEY_DISABLED");
    await master.keys.enableKey({ key: key!.id }, timely);
    expect(await works(secret)).toBe(true);
    await master.keys.revokeKey({ key: key!.id }, timely);
    expect(await reasonOf(master.keys.rotateKey({ key: key!.id }, timely))).toBe("FINAL_STATE");
  });

  it("nobody but its holder gets a new credential of a personal key", async () => {
    const { key, secret } = await master.keys.createKey({ name: "ada", roles: ["administrator"] }, timely);
    await system.sql.query("UPDATE key SET user_id = 'usr_1' WHERE id = $1", [key!.id]);
    expect(await reasonOf(master.keys.rotateKey({ key: key!.id }, timely))).toBe("KEY_KIND_DENIED");
    await system.as(secret).keys.rotateKey({ key: key!.id }, timely);
  });

  it("nobody gets the credential of a key that they do not cover; a key always gets its own", async () => {
    const rotator = { name: "rotator", scopes: ["gatehouse.keys.rotate"] };
    const made = await master.keys.createKey(rotator, timely);
    const self = system.as(made.secret).keys;
    const { key: funds } = await master.keys.createKey({ name: "funds", roles: ["fund-manager"] }, timely);
    expect(await reasonOf(self.rotateKey({ key: funds!.id }, timely))).toBe("GRANT_EXCEEDS_HOLDER");
    const { key: trader } = await master.keys.createKey({ name: "trader", scopes: ["orders.**"] }, timely);
    await self.rotateKey({ key: trader!.id }, timely);
    const { secret } = await self.rotateKey({ key: made.key!.id, grace: durationFromMs(1000) }, timely);
    // The next rotation may be made with either.
    await self.rotateKey({ key: made.key!.id }, timely);
    expect(await works(secret)).toBe(false);
    const broad = await master.keys.createKey(
      { name: "broad", roles: ["administrator", "fund-manager"] },
      timely,
    );
    await master.keys.updateKey(
      { key: broad.key!.id, roles: ["fund-manager"], scopes: ["gatehouse.keys.rotate"] },
      timely,
    );
    await system.as(broad.secret).keys.rotateKey({ key: broad.key!.id }, timely);
  });

  it("an imported key becomes an ordinary one, and its old credential works until its grace ends", async () => {
    await system.root.accounts.updateSettings({ importPrefixes: ["old_"] }, timely);
    const before = `old_${randomBytes(16).toString("hex")}`;
    const hash = createHash("sha256").update(before).digest("hex");
    const keys = [{ hash, prefix: "old_", name: "imported" }];
    const [imported] = (await master.keys.importKeys({ keys }, timely)).keys;
    const grace = durationFromMs(HOUR_MS);
    const { key, secret } = await master.keys.rotateKey({ key: imported!.id, grace }, timely);
    expect(key!.imported).toBe(false);
    expect(secret.startsWith(key!.masked.replace("…", ""))).toBe(true);
    expect([await works(before), await works(secret)]).toEqual([true, true]);
    nowMs += HOUR_MS;
    expect([await works(before), await works(secret)]).toEqual([false, true]);
  });

  it("names a grace and a public key that cannot be", async () => {
    const { key } = await master.keys.createKey({ name: "bad" }, timely);
    for (const ms of [-1, 30 * DAY_MS + 1]) {
      const wrong = master.keys.rotateKey({ key: key!.id, grace: durationFromMs(ms) }, timely);
      expect(await badFieldsOf(wrong)).toEqual(["grace"]);
    }
    const bearer = master.keys.rotateKey({ key: key!.id, publicKey: newPublicKey() }, timely);
    expect(await badFieldsOf(bearer)).toEqual(["public_key"]);
    expect(await badFieldsOf(master.keys.rotateKey({}, timely))).toEqual(["key"]);
  });
});

describe("rotations at once", () => {
  it("come one after the other: each secret that was answered works, as far as there is room", async () => {
    const { key } = await master.keys.createKey({ name: "crowded" }, timely);
    const grace = durationFromMs(HOUR_MS);
    const rotations = Array.from({ length: 7 }, () =>
      master.keys.rotateKey({ key: key!.id, grace }, timely).then(
        ({ secret }) => secret,
        ({ reason }: { reason: string }) => reason,
      ),
    );
    const answers = await Promise.all(rotations);
    const secrets = answers.filter((answer) => answer !== "IN_USE");
    expect(secrets).toHaveLength(5);
    expect(await Promise.all(secrets.map(works))).toEqual(secrets.map(() => true));
  });

  it("without gates, a secret that was answered is lost", async () => {
    const both = Promise.withResolvers<void>();
    let waiting = 0;
    const ungated = await startSystem({
      wrapStore: (store) =>
        withChange(store, (change) => ({
          ...change,
          gate: async () => {},
          // Both have read the key before either writes it.
          keys: beforeUpdate(change.keys, async () => {
            if (++waiting === 2) both.resolve();
            await both.promise;
          }),
        })),
    });
    try {
      const { keys } = ungated.root;
      const { key } = await keys.createKey({ name: "crowded" }, timely);
      const grace = durationFromMs(HOUR_MS);
      const rotated = [1, 2].map(() => keys.rotateKey({ key: key!.id, grace }, timely));
      const statuses = (await Promise.all(rotated)).map(async ({ secret }) => {
        const { status } = await ungated.json(secret, "KeyService/WhoAmI", {});
        return status;
      });
      expect((await Promise.all(statuses)).sort()).toEqual([200, 401]);
    } finally {
      await ungated.stop();
    }
  });
});

function withChange(store: Store, wrap: (change: Change) => Change): Store {
  return {
    ...store,
    recordRefusal: (event: AuditEvent) => store.recordRefusal(event),
    change: (work) => store.change((change) => work(wrap(change))),
  };
}

/** The writes, with something done before a key is written again. */
function beforeUpdate(keys: KeyWrites, first: () => Promise<void>): KeyWrites {
  return new Proxy(keys, {
    get(writes, property) {
      const method = Reflect.get(writes, property, writes) as (...given: unknown[]) => Promise<unknown>;
      return async (...given: unknown[]) => {
        if (property === "update") await first();
        return method.apply(writes, given);
      };
    },
  });
}

describe("rotating a signing key", () => {
  it("keeps what signatures were checked with for the grace, newest first, and forgets it when revoked", async () => {
    const signing = { algorithm: SigningAlgorithm.HMAC_SHA256 };
    const { key, secret } = await master.keys.createKey({ name: "hmac", signing }, timely);
    const grace = durationFromMs(HOUR_MS);
    const second = await master.keys.rotateKey({ key: key!.id, grace }, timely);
    expect(Buffer.from(second.secret, "base64url")).toHaveLength(32);
    expect(second.key!.graceEndsAt).toEqual(timestampFromMs(nowMs + HOUR_MS));
    expect(second.secret).not.toBe(secret);
    const keys = async () =>
      (await system.feed.resolveKeys({ keyIds: [key!.id] }, timely)).keys[0]!.signing!.keys;
    expect((await keys()).map(({ expiresAt }) => expiresAt)).toEqual([
      undefined,
      timestampFromMs(nowMs + HOUR_MS),
    ]);
    const [newest] = await keys();
    await master.keys.rotateKey({ key: key!.id, grace: durationFromMs(DAY_MS) }, timely);
    expect((await keys()).map(({ expiresAt }) => expiresAt)).toEqual([
      undefined,
      timestampFromMs(nowMs + DAY_MS),
      timestampFromMs(nowMs + HOUR_MS),
    ]);
    expect((await keys())[1]!.value).toBe(newest!.value);
    await master.keys.rotateKey({ key: key!.id }, timely);
    expect(await keys()).toHaveLength(1);
    await master.keys.revokeKey({ key: key!.id }, timely);
    const { rows } = await system.sql.query("SELECT signing FROM key WHERE id = $1", [key!.id]);
    expect(rows[0].signing.keys).toEqual([]);
  });

  it("with Ed25519 takes the new public key and answers no secret", async () => {
    const [one, two] = [newPublicKey(), newPublicKey()];
    const signing = { algorithm: SigningAlgorithm.ED25519, publicKey: one };
    const { key } = await master.keys.createKey({ name: "ed", signing }, timely);
    expect(await badFieldsOf(master.keys.rotateKey({ key: key!.id }, timely))).toEqual(["public_key"]);
    const rotated = await master.keys.rotateKey({ key: key!.id, publicKey: two }, timely);
    expect([rotated.secret, rotated.key!.signing!.publicKey]).toEqual(["", two]);
  });
});

async function hashesOf(key: string): Promise<string[]> {
  const { rows } = await system.sql.query("SELECT secret_hashes FROM key WHERE id = $1", [key]);
  return rows[0].secret_hashes;
}

function newPublicKey(): string {
  const { publicKey } = generateKeyPairSync("ed25519");
  return Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url").toString("base64");
}
