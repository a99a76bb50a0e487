import { describe, expect, test } from "vitest";
import { overGrpc, overJson, type Transport } from "../system/transports.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}] });

const ZONE = "Asia/Kolkata";
const DAY_MS = 86_400_000;
/** +05:30, all year. */
const ZONE_OFFSET_MS = 19_800_000;
const MINUTE_MS = 60_000;

const CREATE_ACCOUNT = "identity.v1.AccountService/CreateAccount";
const CREATE_KEY = "identity.v1.KeyService/CreateKey";
const SET_LIMIT = "metering.v1.LimitService/SetLimit";
const QUERY_USAGE = "metering.v1.UsageService/QueryUsage";
const VERIFY = "authz.v1.AuthzService/Verify";

function startOfDayMs(atMs: number): number {
  return Math.floor((atMs + ZONE_OFFSET_MS) / DAY_MS) * DAY_MS - ZONE_OFFSET_MS;
}

function minute(atMs: number): string {
  return new Date(Math.floor(atMs / MINUTE_MS) * MINUTE_MS).toISOString();
}

interface Row {
  readonly start: string;
  readonly accountId: string;
  readonly keyId: string;
  readonly meter: string;
  readonly resource: string;
  readonly outcome: string;
  readonly units: string;
}

// The walk that a customer takes on the first day, with the names that the documentation uses.
describe.each([
  { by: "gRPC", transport: overGrpc, organization: "Acme Robotics" },
  { by: "JSON over HTTP", transport: overJson, organization: "Blue Harbour" },
])("over $by", ({ transport, organization }) => {
  const call: Transport = (key, method, body) => transport(system())(key, method, body);

  test("an organization splits its access, is held to it, sees what it used, and takes it back", async () => {
    const root = system().root.secret;
    const org = await call(root, CREATE_ACCOUNT, { name: organization, labels: { tier: "gold" } });
    expect(org).toMatchObject({
      key: { kind: "KEY_KIND_MASTER" },
      account: { status: "ACCOUNT_STATUS_ACTIVE" },
    });
    const master = org.secret as string;
    const sub = await call(master, CREATE_ACCOUNT, { name: "Trading desk" });
    expect(sub).toMatchObject({
      key: { kind: "KEY_KIND_ACCOUNT" },
      account: { parentId: org.account.id, organizationId: org.account.id, slug: "trading-desk" },
    });

    const made = await call(master, CREATE_KEY, {
      parent_key: sub.key.id,
      name: "orders bot",
      scopes: ["orders.**", "!orders.cancel"],
    });
    expect(made.key).toMatchObject({ kind: "KEY_KIND_SUB", accountId: sub.account.id });
    expect(await call(made.secret, "identity.v1.KeyService/WhoAmI", {})).toMatchObject({
      key: { id: made.key.id },
      accountSlug: "trading-desk",
    });
    const { limit, freshness } = await call(master, SET_LIMIT, {
      key: made.key.id,
      quota: { units: "3", window: "WINDOW_NEVER" },
    });

    const verify = (resource: string, more = {}) =>
      call(root, VERIFY, { key: made.secret, resource, at_least_as_fresh: [freshness], ...more });
    expect(await verify("orders.create")).toMatchObject({
      code: "DECISION_CODE_VALID",
      keyId: made.key.id,
      keyName: "orders bot",
      accountId: sub.account.id,
      organizationId: org.account.id,
      scopes: ["orders.**", "!orders.cancel"],
      bindingLimit: { limitId: limit.id, remaining: "2" },
    });
    expect(await verify("orders.cancel")).toMatchObject({ code: "DECISION_CODE_SCOPE_DENIED" });
    expect(await verify("payouts.create")).toMatchObject({ code: "DECISION_CODE_SCOPE_DENIED" });
    // A retry of one call is one call.
    const once = await verify("orders.list", { request_id: `retried ${organization}` });
    expect(once).toMatchObject({ code: "DECISION_CODE_VALID" });
    const asOfNow = { freshness: expect.any(String), staleness: expect.any(String) };
    const again = await verify("orders.list", { request_id: `retried ${organization}` });
    expect(again).toEqual({ ...(once as object), ...asOfNow });
    expect(await verify("orders.list")).toMatchObject({ code: "DECISION_CODE_VALID" });
    expect(await verify("orders.list")).toMatchObject({
      code: "DECISION_CODE_QUOTA_EXCEEDED",
      bindingLimit: { limitId: limit.id, remaining: "0" },
    });
    // The organization's own key acts on the subaccount by its name, on its own allowance.
    const target = { key: master, account: "trading-desk" };
    expect(await call(root, VERIFY, target)).toMatchObject({ accountId: sub.account.id, keyId: org.key.id });
    expect(await call(root, VERIFY, { key: master })).toMatchObject({ accountId: org.account.id });

    const nowMs = Date.now();
    const whole = { start: minute(nowMs - DAY_MS), end: minute(nowMs + DAY_MS) };
    const usage = async (body: object): Promise<Row[]> =>
      (await call(master, QUERY_USAGE, { ...whole, ...body })).rows;
    const below = { account: org.account.id, descendants: true };
    const total = async () => (await usage(below)).reduce((sum, { units }) => sum + Number(units), 0);
    await until("the usage has arrived", async () => (await total()) >= 5);
    expect(await total()).toBe(5);
    expect(await usage({})).toMatchObject([{ meter: "requests", units: "1" }]);

    const byAccount = await usage({ ...below, group_by: ["GROUP_BY_ACCOUNT"] });
    expect(new Map(byAccount.map(({ accountId, units }) => [accountId, units]))).toEqual(
      new Map([
        [org.account.id, "1"],
        [sub.account.id, "4"],
      ]),
    );
    const byKey = await usage({ account: "trading-desk", group_by: ["GROUP_BY_KEY", "GROUP_BY_RESOURCE"] });
    expect(new Map(byKey.map(({ keyId, resource, units }) => [`${keyId} ${resource}`, units]))).toEqual(
      new Map([
        [`${made.key.id} orders.create`, "1"],
        [`${made.key.id} orders.list`, "2"],
        [`${org.key.id} `, "1"],
      ]),
    );
    const ofKey = { key: made.key.id, group_by: ["GROUP_BY_OUTCOME"] };
    await until("denials have arrived", async () => (await usage(ofKey)).length === 3);
    const outcomes = (await usage(ofKey)).map(({ outcome, units }) => [outcome, units]);
    expect(new Map(outcomes as [string, string][])).toEqual(
      new Map([
        ["VALID", "3"],
        ["SCOPE_DENIED", "2"],
        ["QUOTA_EXCEEDED", "1"],
      ]),
    );
    const days = await usage({ ...below, granularity: "GRANULARITY_DAY", time_zone: ZONE });
    const midnights = [startOfDayMs(nowMs - 2 * MINUTE_MS), startOfDayMs(Date.now())];
    for (const { start } of days) expect(midnights).toContain(Date.parse(start));

    const revoked = await call(master, "identity.v1.KeyService/RevokeKey", { key: made.key.id });
    expect(revoked.key.status).toBe("KEY_STATUS_REVOKED");
    const after = await verify("orders.list", { at_least_as_fresh: [revoked.freshness] });
    expect(after).toMatchObject({ code: "DECISION_CODE_NOT_FOUND", keyId: "", accountId: "" });
    await expect(call(made.secret, "identity.v1.KeyService/WhoAmI", {})).rejects.toMatchObject({
      code: "UNAUTHENTICATED",
    });
    // What was used stays on the books of who used it.
    expect(await total()).toBe(5);
  });
});
