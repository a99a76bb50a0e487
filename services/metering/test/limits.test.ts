import type { MessageInitShape } from "@bufbuild/protobuf";
import { bellSubject, encodeBell } from "@gatehouse/changefeed";
import { Enforcement, type SetLimitRequestSchema, Window } from "@gatehouse/proto/metering";
import type { Failure } from "@gatehouse/service/failure";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const team = identity.account(organization, "team");
const foreign = identity.account(identity.root, "other");
const root = identity.key(identity.root);
const master = identity.key(organization);
const teamKey = identity.key(team, "ACCOUNT");
const teamSub = identity.key(team, "SUB", teamKey);
const foreignKey = identity.key(foreign);
const daily = { case: "quota", value: { units: 5n, window: Window.DAY } } as const;
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

type Request = MessageInitShape<typeof SetLimitRequestSchema>;
const set = (key: TestKey, request: Request) =>
  metering.limits(key).setLimit({ allowance: daily, ...request }, { timeoutMs });
const onAccount = (value: string) => ({ node: { case: "account", value } as const });
const onKey = (value: string) => ({ node: { case: "key", value } as const });
const fieldsOf = (call: Promise<unknown>) =>
  call.then(
    () => [],
    ({ violations }) => violations.map(({ field }: { field: string }) => field),
  );

test("an account's limits are set from strictly above, by id, slug or path", async () => {
  const { limit, freshness } = await set(master, onAccount("team"));
  expect(limit).toMatchObject({ nodeId: team.id, meter: "requests", enforcement: Enforcement.ENFORCE });
  expect(freshness).not.toBe("");
  expect((await set(root, onAccount("acme/team"))).limit!.id).toBe(limit!.id);
  expect((await set(root, onAccount("acme"))).limit!.nodeId).toBe(organization.id);
  const own = { code: "PERMISSION_DENIED", reason: "OWN_CEILING" };
  await expect(set(master, onAccount(organization.id))).rejects.toMatchObject(own);
  await expect(set(teamKey, onAccount(team.id))).rejects.toMatchObject(own);
  await expect(
    metering.limits(teamKey).deleteLimit({ limit: limit!.id }, { timeoutMs }),
  ).rejects.toMatchObject(own);
});

test("the root has no limits, and the provider's keys are told so by its id and by its slug", async () => {
  const none = { code: "PERMISSION_DENIED", reason: "OWN_CEILING", message: "the root has no limits" };
  await expect(set(root, onAccount(identity.root.id))).rejects.toMatchObject(none);
  await expect(set(root, onAccount("provider"))).rejects.toMatchObject(none);
  const { limits } = await metering.limits(root).listLimits(onAccount("provider"), { timeoutMs });
  expect(limits).toEqual([]);
  await expect(set(master, onAccount("provider"))).rejects.toMatchObject({ code: "NOT_FOUND" });
  // Before an organization with the same slug, as in identity.
  identity.account(identity.root, "provider");
  await metering.follower.prove();
  await expect(set(root, onAccount("provider"))).rejects.toMatchObject(none);
});

test("a key's limits are set by its account or above, never by itself or its sub-keys", async () => {
  expect((await set(teamKey, onKey(teamSub.id))).limit!.nodeId).toBe(teamSub.id);
  expect((await set(master, onKey(teamKey.id))).limit!.nodeId).toBe(teamKey.id);
  const own = { code: "PERMISSION_DENIED", reason: "OWN_CEILING" };
  await expect(set(teamKey, onKey(teamKey.id))).rejects.toMatchObject(own);
  await expect(set(teamSub, onKey(teamSub.id))).rejects.toMatchObject(own);
  await expect(set(teamSub, onKey(teamKey.id))).rejects.toMatchObject(own);
});

test("what is out of reach answers like what does not exist", async () => {
  const { limit } = await set(root, onAccount(foreign.id));
  const answers = (calls: Promise<unknown>[]) =>
    Promise.all(
      calls.map((call) =>
        call.then(
          () => ({ code: "OK", reason: "", message: "" }),
          ({ code, reason, message }: Failure) => ({ code, reason, message }),
        ),
      ),
    );
  const limits = metering.limits(master);
  const [a, b] = [foreign.id, "acc_00000000000000000000"];
  const accounts = await answers([
    ...[a, b, "other", "none"].map((name) => set(master, onAccount(name))),
    ...[a, b].map((name) => limits.listLimits(onAccount(name), { timeoutMs })),
    ...[a, b].map((name) => limits.getAllowance(onAccount(name), { timeoutMs })),
  ]);
  expect(new Set(accounts.map((answer) => JSON.stringify(answer))).size).toBe(1);
  expect(accounts[0]).toMatchObject({ code: "NOT_FOUND", reason: "NOT_FOUND" });
  const keys = await answers([
    ...[foreignKey.id, root.id, "key_00000000000000000000", "x"].map((id) => set(master, onKey(id))),
  ]);
  expect(new Set(keys.map((answer) => JSON.stringify(answer))).size).toBe(1);
  const deleted = await answers(
    [limit!.id, "lim_00000000000000000000", "x"].map((id) =>
      limits.deleteLimit({ limit: id }, { timeoutMs }),
    ),
  );
  expect(new Set(deleted.map((answer) => JSON.stringify(answer))).size).toBe(1);
});

test("every bad field is named at once", async () => {
  const quota = {
    units: -1n,
    window: 99 as Window,
    timeZone: "Mars/Olympus",
    anchor: { seconds: -1n, nanos: 0 },
  };
  const request: Request = {
    meter: "none",
    resource: "!orders",
    allowance: { case: "quota", value: quota },
    enforcement: 99 as Enforcement,
  };
  expect(await fieldsOf(set(root, request))).toEqual([
    "account",
    "resource",
    "enforcement",
    "quota.units",
    "quota.window",
    "quota.time_zone",
    "quota.anchor",
    "meter",
  ]);
  const rate = { units: 0n, interval: { seconds: 86_401n, nanos: 0 }, burst: -1n };
  expect(
    await fieldsOf(set(root, { ...onAccount("acme"), allowance: { case: "rate", value: rate } })),
  ).toEqual(["rate.units", "rate.burst", "rate.interval"]);
  const nothing = metering.limits(root).setLimit(onAccount("acme"), { timeoutMs });
  expect(await fieldsOf(nothing)).toEqual(["rate"]);
  const limits = metering.limits(root);
  const page = { pageSize: 501, pageToken: "x" };
  expect(await fieldsOf(limits.listLimits(page, { timeoutMs }))).toEqual(["page_size", "page_token"]);
  expect(await fieldsOf(limits.deleteLimit({}, { timeoutMs }))).toEqual(["limit"]);
});

test("limits are listed in the order they were made, page by page, and deleted ones are gone", async () => {
  const account = identity.account(organization, "paged");
  identity.meter("tokens");
  const made: string[] = [];
  for (const window of [Window.DAY, Window.HOUR, Window.MONTH]) {
    const allowance = { case: "quota", value: { units: 1n, window } } as const;
    made.push((await set(root, { ...onAccount(account.id), meter: "tokens", allowance })).limit!.id);
  }
  const list = (pageToken: string) =>
    metering.limits(master).listLimits({ ...onAccount("paged"), pageSize: 2, pageToken }, { timeoutMs });
  const first = await list("");
  const second = await list(first.nextPageToken);
  expect([...first.limits, ...second.limits].map(({ id }) => id)).toEqual(made);
  expect(second.nextPageToken).toBe("");
  await metering.limits(master).deleteLimit({ limit: made[0]! }, { timeoutMs });
  expect((await list("")).limits.map(({ id }) => id)).toEqual(made.slice(1));
});

test("all limits below an account are listed page by page, those of its keys too, as far as the caller reaches", async () => {
  const above = identity.account(identity.root, "listed");
  const [one, two] = [identity.account(above, "one"), identity.account(above, "two")];
  const below = identity.account(two, "below");
  const [master, narrow] = [identity.key(above), identity.key(two, "ACCOUNT")];
  const belows = identity.key(below, "ACCOUNT");
  const sub = identity.key(below, "SUB", belows);
  const made: string[] = [];
  for (const node of [above, sub, below, one, belows, two, narrow]) {
    const named = node.id.startsWith("key_") ? onKey(node.id) : onAccount(node.id);
    made.push((await set(root, named)).limit!.id);
  }
  const list = async (key: TestKey, request: object = {}) => {
    const ids: string[] = [];
    for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
      const page: { limits: { id: string }[]; nextPageToken: string } = await metering
        .limits(key)
        .listLimits({ descendants: true, pageSize: 3, pageToken, ...request }, { timeoutMs });
      ids.push(...page.limits.map(({ id }) => id));
      pageToken = page.nextPageToken === "" ? undefined : page.nextPageToken;
    }
    return ids;
  };
  const [ofAbove, ofSub, ofBelow, ofOne, ofBelows, ofTwo, ofNarrow] = made;
  expect(await list(master)).toEqual(made);
  expect(await list(master, { descendants: false })).toEqual([ofAbove]);
  expect(await list(master, onAccount("two"))).toEqual([ofSub, ofBelow, ofBelows, ofTwo, ofNarrow]);
  expect(await list(master, onAccount("one"))).toEqual([ofOne]);
  expect(await list(master, onKey(belows.id))).toEqual([ofBelows]);
  expect(await list(narrow)).toEqual([ofTwo, ofNarrow]);
  const all = await list(root);
  expect(all.filter((id) => made.includes(id))).toEqual(made);
  expect(all.length).toBeGreaterThan(made.length);
  identity.change({ ...above, isolated: true });
  await metering.follower.prove();
  expect(await list(master)).toEqual([ofAbove]);
  expect(await list(root, onAccount("listed"))).toEqual(made);
});

test("a node has at most fifty limits", async () => {
  const account = identity.account(organization, "many");
  for (let i = 0; i < 50; i++) await set(master, { ...onAccount("many"), resource: `r${i}` });
  await expect(set(master, { ...onAccount("many"), resource: "r50" })).rejects.toMatchObject({
    code: "RESOURCE_EXHAUSTED",
  });
  expect((await set(master, { ...onAccount("many"), resource: "r1" })).limit!.nodeId).toBe(account.id);
});

test("an allowance shows every bucket up to the caller's own reach", async () => {
  const mine = identity.account(organization, "allowed");
  const key = identity.key(mine, "ACCOUNT");
  const sub = identity.key(mine, "SUB", key);
  await set(root, onAccount(mine.id));
  await set(root, onAccount(organization.id));
  await set(root, onKey(key.id));
  await set(root, onKey(sub.id));
  const nodes = async (caller: TestKey) => {
    const { allowances } = await metering.limits(caller).getAllowance(onKey(sub.id), { timeoutMs });
    return allowances.map(({ limit }) => limit!.nodeId);
  };
  expect(await nodes(master)).toEqual([sub.id, key.id, mine.id, organization.id]);
  expect(await nodes(key)).toEqual([sub.id, key.id, mine.id]);
  const { allowances } = await metering.limits(key).getAllowance({}, { timeoutMs });
  expect(allowances[0]).toMatchObject({ used: 0n, leased: 0n, remaining: 5n });
  expect(Number(allowances[0]!.resetsAt!.seconds) % 86_400).toBe(0);
});

test("the feed names each node whose limits changed, in order", async () => {
  const { head } = await metering.feed.getHead({}, { timeoutMs });
  await set(root, onAccount("acme"));
  await set(root, onKey(teamKey.id));
  const { changes } = await metering.feed.listChanges({ after: head! }, { timeoutMs });
  expect(changes.map(({ nodeId }) => nodeId)).toEqual([organization.id, teamKey.id]);
  expect(changes.map(({ revision }) => revision - head!.revision)).toEqual([1n, 2n]);
  const lost = metering.feed.listChanges({ after: { incarnation: "x", revision: 0n } }, { timeoutMs });
  await expect(lost).rejects.toMatchObject({ code: "OUT_OF_RANGE", reason: "LOG_TRUNCATED" });
  expect(await fieldsOf(metering.feed.listChanges({ limit: 1001 }, { timeoutMs }))).toEqual([
    "limit",
    "after",
  ]);
});

test("every change leaves an audit event with what was before and after", async () => {
  const account = identity.account(organization, "audited");
  const { limit } = await set(master, onAccount("audited"));
  await set(master, { ...onAccount("audited"), enforcement: Enforcement.WARN });
  await metering.limits(master).deleteLimit({ limit: limit!.id }, { timeoutMs });
  const events = await metering.query<{
    action: string;
    actor_key_id: string;
    before: object;
    after: object;
  }>("SELECT action, actor_key_id, before, after FROM audit_event WHERE target_id = $1 ORDER BY id", [
    limit!.id,
  ]);
  expect(events).toMatchObject([
    {
      action: "gatehouse.limits.set",
      actor_key_id: master.id,
      before: null,
      after: { node: { id: account.id } },
    },
    { action: "gatehouse.limits.set", before: { enforcement: "ENFORCE" }, after: { enforcement: "WARN" } },
    { action: "gatehouse.limits.delete", before: { enforcement: "WARN" }, after: null },
  ]);
});

test("a revoked key, a key without the scope and no key are refused", async () => {
  const key = identity.key(organization);
  await metering.limits(key).listLimits({}, { timeoutMs });
  identity.revoke(key);
  await metering.follower.prove();
  const refused = { code: "UNAUTHENTICATED", reason: "CREDENTIAL_INVALID" };
  await expect(metering.limits(key).listLimits({}, { timeoutMs })).rejects.toMatchObject(refused);
  const developer = identity.key(organization, "MASTER", undefined, ["developer"]);
  await expect(set(developer, onAccount("team"))).rejects.toMatchObject({ reason: "SCOPE_DENIED" });
  const leases = metering.limits(root) as unknown as TestMetering["leases"];
  expect(leases.acquire).toBeUndefined();
});

test("a key is not believed after a bell until what it tells of is here", async () => {
  const key = identity.key(organization);
  await metering.limits(key).listLimits({}, { timeoutMs });
  const answering = Promise.withResolvers<void>();
  const head = vi.spyOn(identity, "head").mockImplementation(async () => {
    await answering.promise;
    return identity.position;
  });
  const prove = vi.spyOn(metering.follower, "prove");
  try {
    // The loop's own proof, begun before the revocation, does not count.
    await expect.poll(() => head.mock.calls.length).toBe(1);
    identity.revoke(key);
    const heard = Promise.withResolvers<void>();
    const bell = metering.bus.subscribe(bellSubject("identity"), () => heard.resolve());
    metering.bus.publish(bellSubject("identity"), encodeBell({ entityIds: [key.id] }));
    await heard.promise;
    bell.unsubscribe();
    const proofs = prove.mock.calls.length;
    const call = metering.limits(key).listLimits({}, { timeoutMs });
    const refused = expect(call).rejects.toMatchObject({ reason: "CREDENTIAL_INVALID" });
    await expect.poll(() => prove.mock.calls.length).toBe(proofs + 1);
    answering.resolve();
    await refused;
  } finally {
    answering.resolve();
    vi.restoreAllMocks();
  }
});

test("with identity out of reach the control plane says so once the mirror is too old", async () => {
  const one = new Holder(metering, "apart");
  identity.up = false;
  try {
    await expect.poll(() => metering.follower.ageMs(), { timeout: 3000 }).toBeGreaterThan(1000);
    await expect(metering.limits(root).listLimits({}, { timeoutMs })).rejects.toMatchObject({
      code: "UNAVAILABLE",
      reason: "SOURCE_UNAVAILABLE",
    });
    // Lending goes on: it asks for no more than what it is told to know.
    const { results } = await one.acquire(
      [organization.id],
      { requests: 1 },
      { position: metering.follower.position! },
    );
    expect(results).toHaveLength(1);
  } finally {
    identity.up = true;
  }
});

test("a restored identity is mirrored anew", async () => {
  const gone = identity.account(organization, "gone");
  await metering.follower.prove();
  const { changesMade } = identity;
  changesMade.splice(
    changesMade.findIndex(({ entity }) => entity?.kind === "ACCOUNT" && entity.account.id === gone.id),
    1,
  );
  for (const [i, change] of changesMade.entries()) changesMade[i] = { ...change, revision: BigInt(i + 1) };
  identity.incarnation = crypto.randomUUID();
  await metering.follower.prove();
  expect(metering.follower.position).toEqual(identity.position);
  await expect(set(root, onAccount(gone.id))).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect((await set(root, onAccount("acme/team"))).limit!.nodeId).toBe(team.id);
});
