import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MAX_REFUSALS } from "@gatehouse/access";
import { openDatabase } from "@gatehouse/changefeed";
import { type AuditEvent, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PostgresAuditStore } from "../src/storage/audit.ts";
import { migrations } from "../src/storage/migrations.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";

const timely = { timeoutMs: 5000 };
const identity = new IdentityLog();
const everything = ["administrator", "fund-manager"];
const root = identity.key(identity.root, "MASTER", undefined, everything);
const daily = { case: "quota", value: { units: 5n, window: Window.DAY } } as const;
let postgres: TestPostgres;
let metering: TestMetering;
let made = 0;
let stage: ReturnType<typeof organization>;

beforeAll(async () => {
  identity.meter("tokens");
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});
afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});
beforeEach(async () => {
  stage = organization();
  await metering.follower.prove();
});

function organization() {
  const account = identity.account(identity.root, `org-${++made}`);
  const team = identity.account(account, "team");
  const master = identity.key(account, "MASTER", undefined, everything);
  const teamKey = identity.key(team, "ACCOUNT", undefined, everything);
  return { account, team, master, teamKey };
}

const onAccount = (value: string) => ({ node: { case: "account", value } as const });
const setLimit = (key: TestKey, node: object, more: object = {}) =>
  metering.limits(key).setLimit({ allowance: daily, ...node, ...more }, timely);

/** All pages, and the same as an export, which is the other way round. */
async function eventsOf(key: TestKey, request: object = {}): Promise<AuditEvent[]> {
  const listed: AuditEvent[] = [];
  for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
    const page: { events: AuditEvent[]; nextPageToken: string } = await metering
      .audit(key)
      .listEvents({ pageSize: 2, pageToken, ...request }, timely);
    listed.push(...page.events);
    pageToken = page.nextPageToken === "" ? undefined : page.nextPageToken;
  }
  const exported: AuditEvent[] = [];
  for await (const { events } of metering.audit(key).exportEvents(request, timely)) exported.push(...events);
  expect(exported.reverse()).toEqual(listed);
  return listed;
}
const actionsOf = async (key: TestKey, request: object = {}) =>
  (await eventsOf(key, request)).map(({ action, outcome }) => [action.replace("gatehouse.", ""), outcome]);
const ignored = (call: Promise<unknown>) =>
  call.then(
    () => expect.unreachable("it was not refused"),
    () => {},
  );

describe("a change", () => {
  test("is on record under its scope, with who made it, what it was before and what it is after", async () => {
    const { account, team, master } = stage;
    const { limit } = await setLimit(master, onAccount("team"));
    await setLimit(master, onAccount("team"), {
      allowance: { ...daily, value: { ...daily.value, units: 7n } },
    });
    await metering.limits(master).deleteLimit({ limit: limit!.id }, timely);
    const [deleted, changed, set] = await eventsOf(master, {
      target: limit!.id,
      descendants: true,
    });
    expect(set).toMatchObject({
      actorKeyId: master.id,
      actorAccountId: account.id,
      action: "gatehouse.limits.set",
      target: limit!.id,
      accountId: team.id,
      outcome: "OK",
      after: { node: { id: team.id }, allowance: { units: 5 } },
    });
    expect(set!.before).toBeUndefined();
    expect(changed).toMatchObject({
      before: { allowance: { units: 5 } },
      after: { allowance: { units: 7 } },
    });
    expect(deleted).toMatchObject({ action: "gatehouse.limits.delete", before: { allowance: { units: 7 } } });
    expect(deleted!.after).toBeUndefined();
  });

  test("concerns the account that it is about, a key's its account; of prices the provider", async () => {
    const { account, team, master, teamKey } = stage;
    await setLimit(master, { node: { case: "key", value: teamKey.id } });
    const money = { account: account.id, currency: "USD" };
    const credits = metering.credits(root);
    await credits.topUp({ ...money, amount: 5n, reference: "one", idempotencyKey: `one-${made}` }, timely);
    await credits.adjust({ ...money, amount: -1n, reason: "fee" }, timely);
    await credits.setCreditLimit({ ...money, creditLimit: 3n }, timely);
    await credits.setBalanceSource({ account: team.id, usesParentBalance: true }, timely);
    await credits.setPrice({ meter: "tokens", currency: "USD", price: 1n, resource: `r${made}` }, timely);
    const spend = { currency: "USD", amount: 5n, window: Window.DAY };
    const { alert } = await metering
      .alerts(master)
      .createAlert({ subject: { case: "spend", value: spend } }, timely);
    await metering.alerts(master).deleteAlert({ alert: alert!.id }, timely);
    expect(await actionsOf(master)).toEqual(
      ["alerts.delete", "alerts.create", "credits.set-credit-limit", "credits.adjust", "credits.top-up"].map(
        (action) => [action, "OK"],
      ),
    );
    expect(await actionsOf(teamKey)).toEqual([
      ["credits.set-balance-source", "OK"],
      ["limits.set", "OK"],
    ]);
    expect((await actionsOf(root))[0]).toEqual(["credits.set-price", "OK"]);
    expect((await eventsOf(root, { account: account.id, descendants: true })).length).toBe(7);
  });

  test("tells of no account that its reader does not reach", async () => {
    const { account, team, teamKey } = stage;
    const other = identity.account(account, "other");
    const own = identity.key(account, "ACCOUNT", undefined, everything);
    const limit = await setLimit(root, onAccount(account.id));
    await setLimit(root, onAccount(team.id), { reservedShare: 0.5 });
    await setLimit(root, onAccount(account.id));
    const credits = metering.credits(root);
    const currency = "USD";
    await credits.topUp({ account: team.id, amount: 10n, currency }, timely);
    const paid = await credits.transfer({ from: team.id, to: other.id, amount: 10n, currency }, timely);
    const refundOf = paid.transaction!.id;
    await credits.adjust({ account: team.id, refundOf, reason: "a mistake" }, timely);
    const tellsOf = async (key: TestKey) =>
      (await eventsOf(key)).map(({ before, after }) => JSON.stringify([before, after])).join();
    const [told, toldTeam] = [await tellsOf(own), await tellsOf(teamKey)];
    expect(told).toContain(limit.limit!.id);
    expect(told).not.toContain(team.id);
    expect(toldTeam).toContain(refundOf);
    expect(toldTeam).not.toContain(other.id);
    expect(toldTeam).not.toContain(limit.limit!.id);
  });

  test("is seen as far as the reader reaches", async () => {
    const { account, team, master, teamKey } = stage;
    const other = identity.key(identity.account(identity.root, `other-${made}`));
    await setLimit(root, onAccount(account.id));
    await setLimit(master, onAccount("team"));
    expect((await eventsOf(master)).map(({ accountId }) => accountId)).toEqual([account.id]);
    const below = (await eventsOf(master, { descendants: true })).map(({ accountId }) => accountId);
    expect(below).toEqual([team.id, account.id]);
    expect((await eventsOf(teamKey, { descendants: true })).map(({ accountId }) => accountId)).toEqual([
      team.id,
    ]);
    expect(await eventsOf(other, { descendants: true })).toEqual([]);
    const unknown = metering.audit(other).listEvents({ account: team.id }, timely);
    await expect(unknown).rejects.toMatchObject({ code: "NOT_FOUND", message: "no such account in reach" });
    identity.change({ ...account, isolated: true });
    await metering.follower.prove();
    expect((await eventsOf(master, { descendants: true })).map(({ accountId }) => accountId)).toEqual([
      account.id,
    ]);
  });

  test("is found by actor, kind, time and outcome, and every bad field is named", async () => {
    const { account, master } = stage;
    await setLimit(root, onAccount(account.id));
    await metering
      .credits(root)
      .setCreditLimit({ account: account.id, currency: "USD", creditLimit: 1n }, timely);
    await ignored(setLimit(master, onAccount(account.id)));
    expect(await actionsOf(master, { actor: root.id })).toEqual([
      ["credits.set-credit-limit", "OK"],
      ["limits.set", "OK"],
    ]);
    expect(await actionsOf(master, { actor: account.id })).toEqual([["limits.set", "OWN_CEILING"]]);
    expect(await actionsOf(master, { action: "gatehouse.credits.*" })).toHaveLength(1);
    expect(await actionsOf(master, { action: "gatehouse.limits.set", outcome: "OK" })).toHaveLength(1);
    const hourAgo = timestampFromMs(Date.now() - 3_600_000);
    expect(await eventsOf(master, { since: hourAgo })).toHaveLength(3);
    expect(await eventsOf(master, { until: hourAgo })).toEqual([]);
    const bad = {
      ...{ account: "\0", actor: "x".repeat(201), action: "limits", target: "\0", outcome: "\0" },
      ...{ pageSize: 501, pageToken: "x", since: { seconds: -1n, nanos: 0 } },
    };
    const fieldsOf = (request: object) =>
      metering
        .audit(master)
        .listEvents(request, timely)
        .catch(({ violations }) => violations.map(({ field }: { field: string }) => field));
    expect(await fieldsOf({ since: timestampFromMs(Date.now()), until: hourAgo })).toEqual(["until"]);
    expect(await fieldsOf(bad)).toEqual([
      ...["account", "actor", "target", "outcome", "action", "since", "page_size", "page_token"],
    ]);
  });
});

describe("a refused attempt", () => {
  test("concerns who made it, with the reason and what it named, and changed nothing", async () => {
    const { account, team, master, teamKey } = stage;
    await ignored(setLimit(teamKey, onAccount(team.id)));
    await ignored(metering.limits(master).deleteLimit({ limit: "lim_00000000000000000000" }, timely));
    const transfer = { from: account.id, to: team.id, amount: 5n, currency: "USD" };
    await ignored(metering.credits(master).transfer(transfer, timely));
    expect(await eventsOf(master)).toMatchObject([
      { action: "gatehouse.credits.transfer", target: account.id, outcome: "CREDIT_EXHAUSTED" },
      { action: "gatehouse.limits.delete", target: "lim_00000000000000000000", outcome: "NOT_FOUND" },
    ]);
    const [event] = await eventsOf(teamKey);
    expect(event).toMatchObject({ actorKeyId: teamKey.id, accountId: team.id, outcome: "OWN_CEILING" });
    expect([event!.before, event!.after]).toEqual([undefined, undefined]);
  });

  test("is on record where the key lacks the scope, is disabled, or is not the provider's", async () => {
    const { account, master } = stage;
    const narrow = identity.key(account, "MASTER", undefined, ["auditor"]);
    await metering.follower.prove();
    await ignored(setLimit(narrow, onAccount("team")));
    await ignored(metering.credits(master).setPrice({ currency: "USD" }, timely));
    identity.put({ ...narrow, status: "DISABLED" });
    await metering.follower.prove();
    await ignored(setLimit(narrow, onAccount("team")));
    expect(await actionsOf(master)).toEqual([
      ["limits.set", "KEY_DISABLED"],
      ["credits.set-price", "PROVIDER_ONLY"],
      ["limits.set", "SCOPE_DENIED"],
    ]);
  });

  test("is not on record where it is malformed, was a read, or settles a reservation; nor is what may be a secret", async () => {
    const { master, teamKey } = stage;
    await ignored(metering.limits(master).setLimit({}, timely));
    await ignored(metering.limits(master).listLimits(onAccount("none"), timely));
    await ignored(metering.usage(master).releaseReservation({ decisionId: "dec_x" }, timely));
    expect(await eventsOf(master)).toEqual([]);
    await ignored(setLimit(master, onAccount(teamKey.presented)));
    expect(await eventsOf(master)).toMatchObject([{ target: "", outcome: "NOT_FOUND" }]);
  });

  test("stands where it cannot be put on record, and is counted", async () => {
    const { master } = stage;
    const counted = metering.metrics.find(({ name }) => name === "gatehouse_audit_refusals_lost_total")!;
    expect(counted.read()).toMatchObject([{ value: 0 }]);
    await metering.query(
      "ALTER TABLE audit_event ADD CONSTRAINT only_ok CHECK (outcome = 'OK') NOT VALID",
      [],
    );
    try {
      const attempt = metering.limits(master).deleteLimit({ limit: "lim_00000000000000000000" }, timely);
      await expect(attempt).rejects.toMatchObject({ code: "NOT_FOUND" });
    } finally {
      await metering.query("ALTER TABLE audit_event DROP CONSTRAINT only_ok", []);
    }
    expect(await eventsOf(master)).toEqual([]);
    expect(counted.read()).toMatchObject([{ value: 1 }]);
  });

  test("is on record a thousand times a minute for a key", async () => {
    const { master } = stage;
    const minute = Math.floor(Date.now() / 60_000);
    const attempt = () =>
      ignored(metering.credits(master).setPrice({ currency: "USD" }, { timeoutMs: 30_000 }));
    for (let n = 0; n < MAX_REFUSALS / 50 + 2; n++) await Promise.all(Array.from({ length: 50 }, attempt));
    const minutes = Math.floor(Date.now() / 60_000) - minute + 1;
    const [row] = await metering.query<{ count: string }>(
      "SELECT count(*) FROM audit_event WHERE actor_key_id = $1",
      [master.id],
    );
    expect(Number(row!.count)).toBeGreaterThanOrEqual(MAX_REFUSALS);
    expect(Number(row!.count)).toBeLessThanOrEqual(minutes * MAX_REFUSALS);
  });
});

test("an export ends where its key may no longer read", async () => {
  const { account, master } = stage;
  const reader = identity.key(account, "MASTER", undefined, ["auditor"]);
  await metering.query(
    `INSERT INTO audit_event (id, actor_key_id, actor_account_id, action, target_id, account_id, account_path)
     SELECT 'evt_' || lpad(n::text, 20, '0'), $1, $2, 'gatehouse.limits.set', 'lim_x', $2, ARRAY[$3, $2]
     FROM generate_series(1, 20000) AS n`,
    [master.id, account.id, identity.root.id],
  );
  await metering.follower.prove();
  const stream = metering.audit(reader).exportEvents({}, timely)[Symbol.asyncIterator]();
  expect((await stream.next()).value!.events).toHaveLength(500);
  identity.revoke(reader);
  await metering.follower.prove();
  const rest = (async () => {
    while (!(await stream.next()).done);
  })();
  await expect(rest).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
});

test("events are forgotten once they are older than they are kept", async () => {
  const { master } = stage;
  await setLimit(master, onAccount("team"));
  const database = await openDatabase({
    url: postgres.url,
    schema: "metering",
    entities: [],
    migrations,
    poolSize: 1,
  });
  try {
    const store = new PostgresAuditStore(database);
    await store.sweep(60_000);
    expect(await eventsOf(master, { descendants: true })).toHaveLength(1);
    await store.sweep(-1000);
    expect(await eventsOf(master, { descendants: true })).toEqual([]);
  } finally {
    await database.destroy();
  }
});
