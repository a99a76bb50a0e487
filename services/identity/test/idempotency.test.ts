import { ErrorReason } from "@gatehouse/proto/common";
import { KeyKind, KeyStatus } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStage, outcomeOf, type Stage } from "./stage.ts";
import { type Caller, reasonOf, type System, timely } from "./system.ts";

const TWINS = 16;
/** Shorter than a transaction may lie idle while the test holds it open. */
const IMPATIENT_MS = 500;
const DAY_MS = 24 * 60 * 60 * 1000;

let stage: Stage;
let system: System;
let aheadMs = 0;
let organizations = 0;

beforeAll(async () => {
  stage = await openStage({ nowMs: () => Date.now() + aheadMs });
  system = stage.system;
});
afterAll(() => system?.stop());

async function organization() {
  const name = `repeats ${++organizations}`;
  const { account, key, secret } = await system.root.accounts.createAccount({ name }, timely);
  return { id: account!.id, key: key!, master: system.as(secret) };
}

interface Made {
  readonly id: string;
  readonly secret: string;
  readonly replayed: boolean;
  readonly secretWithheld: ErrorReason;
}

/** Every create that takes an idempotency key and answers a secret. */
const creates = {
  CreateKey: {
    action: "gatehouse.keys.create",
    async create({ keys }: Caller, request: object, options: object = timely): Promise<Made> {
      const made = await keys.createKey({ name: "made", ...request }, { ...timely, ...options });
      return { ...made, id: made.key!.id };
    },
    count: async ({ keys }: Caller) => (await keys.listKeys({}, timely)).keys.length - 1,
  },
  CreateAccount: {
    action: "gatehouse.accounts.create",
    async create({ accounts }: Caller, request: object, options: object = timely): Promise<Made> {
      const made = await accounts.createAccount({ name: "made", ...request }, { ...timely, ...options });
      return { ...made, id: `${made.account!.id} ${made.key!.id}` };
    },
    count: async ({ accounts }: Caller) => (await accounts.listAccounts({}, timely)).accounts.length,
  },
};

describe.each(Object.entries(creates))("%s under an idempotency key", (_name, { action, create, count }) => {
  const idempotencyKey = "once";

  it("makes one thing, and says the secret once", async () => {
    const { master } = await organization();
    const first = await create(master, { idempotencyKey, labels: { a: "1", b: "2" } });
    expect(first).toMatchObject({ replayed: false, secretWithheld: ErrorReason.UNSPECIFIED });
    expect(first.secret).not.toBe("");
    const again = await create(master, { idempotencyKey, labels: { b: "2", a: "1" } });
    expect(again).toMatchObject({
      id: first.id,
      secret: "",
      replayed: true,
      secretWithheld: ErrorReason.SECRET_NOT_REPLAYABLE,
    });
    const other = create(master, { idempotencyKey, labels: { a: "1" } });
    expect(await reasonOf(other)).toBe("IDEMPOTENCY_MISMATCH");
    expect(await count(master)).toBe(1);
  });

  it("makes one thing for twins, and without gates more or a failure (control)", async () => {
    async function race() {
      const { master } = await organization();
      const twin = () => create(master, { idempotencyKey });
      const results = await stage.atOnce(action, Array<typeof twin>(TWINS).fill(twin));
      const made = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      return {
        failed: TWINS - made.length,
        ids: new Set(made.map(({ id }) => id)).size,
        secrets: made.filter(({ secret }) => secret !== "").length,
        made: await count(master),
      };
    }
    const oneThing = { failed: 0, ids: 1, secrets: 1, made: 1 };
    expect(await race()).toEqual(oneThing);
    expect(await stage.withoutGates(race)).not.toEqual(oneThing);
  });

  it.each(["times out", "is cut off"])("makes one thing where the client %s and tries again", async (how) => {
    const { master } = await organization();
    const cut = new AbortController();
    const impatient =
      how === "times out" ? { timeoutMs: IMPATIENT_MS } : { timeoutMs: 20_000, signal: cut.signal };
    let running: Promise<Made> | undefined;
    const { first } = await stage.overlap(
      action,
      () => {
        running = create(master, { idempotencyKey }, impatient);
        return running;
      },
      async () => {
        cut.abort();
        // The client gives up while the create is written and not committed.
        await running!.catch(() => {});
      },
    );
    expect(first.status).toBe("rejected");
    const again = await create(master, { idempotencyKey });
    expect(again).toMatchObject({ replayed: true, secret: "" });
    expect(await count(master)).toBe(1);
  });

  it("makes one thing where the first try is still under way when the second comes", async () => {
    const { master } = await organization();
    const { first, second } = await stage.overlap(
      action,
      () => create(master, { idempotencyKey }),
      () => create(master, { idempotencyKey }),
    );
    expect([outcomeOf(first), outcomeOf(second)]).toEqual(["OK", "OK"]);
    expect(second).toMatchObject({ value: { replayed: true } });
    expect(await count(master)).toBe(1);
  });

  it("with a deadline that nothing can meet makes one thing at most", async () => {
    const { master } = await organization();
    const hasty = create(master, { idempotencyKey }, { timeoutMs: 1 });
    expect(await reasonOf(hasty)).not.toBe("OK");
    await create(master, { idempotencyKey });
    expect(await count(master)).toBe(1);
  });

  it("that failed made nothing, so the next try is the first", async () => {
    const { master } = await organization();
    const refused = { idempotencyKey, firstKey: { roles: ["king"] }, roles: ["king"] };
    expect(await reasonOf(create(master, refused))).toBe("INVALID_FIELD");
    expect(await create(master, { idempotencyKey })).toMatchObject({ replayed: false });
  });

  it("is the caller's account's own, for a day", async () => {
    const [one, two] = [await organization(), await organization()];
    const first = await create(one.master, { idempotencyKey });
    expect(await create(two.master, { idempotencyKey })).toMatchObject({ replayed: false });
    aheadMs = DAY_MS - 60_000;
    expect(await create(one.master, { idempotencyKey })).toMatchObject({ id: first.id, replayed: true });
    aheadMs = DAY_MS + 60_000;
    const later = await create(one.master, { idempotencyKey, name: "another" });
    aheadMs = 0;
    expect(later).toMatchObject({ replayed: false });
  });
});

describe("a replayed CreateKey", () => {
  it("answers the key as it is now, revoked too, and leaves no second event", async () => {
    const { id, master } = await organization();
    const request = { name: "gone", idempotencyKey: "gone" };
    const { key } = await master.keys.createKey(request, timely);
    await master.keys.revokeKey({ key: key!.id }, timely);
    const again = await master.keys.createKey(request, timely);
    expect(again).toMatchObject({ replayed: true, key: { id: key!.id, status: KeyStatus.REVOKED } });
    const { rows } = await system.sql.query(
      "SELECT target FROM audit_event WHERE account_id = $1 AND action = 'gatehouse.keys.create'",
      [id],
    );
    expect(rows).toEqual([{ target: key!.id }]);
  });

  it("takes the scope and the reach of a create, and no more: it grants nothing", async () => {
    const { master } = await organization();
    const roles = ["administrator", "fund-manager"];
    const request = { name: "wide", roles, idempotencyKey: "wide" };
    const made = await master.keys.createKey(request, timely);
    const scopes = ["gatehouse.keys.create"];
    const weak = system.as((await master.keys.createKey({ name: "weak", scopes }, timely)).secret);
    expect(await reasonOf(weak.keys.createKey({ ...request, idempotencyKey: "" }, timely))).toBe(
      "GRANT_EXCEEDS_HOLDER",
    );
    expect(await weak.keys.createKey(request, timely)).toMatchObject({
      key: { id: made.key!.id },
      secret: "",
    });
    const reader = system.as((await master.keys.createKey({ name: "r", roles: ["auditor"] }, timely)).secret);
    expect(await reasonOf(reader.keys.createKey(request, timely))).toBe("SCOPE_DENIED");
    const lab = await master.accounts.createAccount({ name: "lab" }, timely);
    const below = { ...request, account: lab.account!.id, idempotencyKey: "below" };
    await master.keys.createKey(below, timely);
    expect(await reasonOf(weak.keys.createKey(below, timely))).toBe("NOT_FOUND");
  });

  it("is another body by another key, where the parent key is left out", async () => {
    const { master } = await organization();
    const { secret } = await master.keys.createKey({ name: "minter", roles: ["administrator"] }, timely);
    const request = { name: "sub", kind: KeyKind.SUB, idempotencyKey: "sub" };
    const { key } = await master.keys.createKey(request, timely);
    expect(await reasonOf(system.as(secret).keys.createKey(request, timely))).toBe("IDEMPOTENCY_MISMATCH");
    // Said or left out, it is the same parent.
    const said = { ...request, parentKey: key!.parentKeyId };
    expect(await master.keys.createKey(said, timely)).toMatchObject({ replayed: true });
  });
});
