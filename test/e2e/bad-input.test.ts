import { describe, expect, test } from "vitest";
import { badFieldsIn } from "../system/json-call.ts";
import { nameOf, overGrpc, overJson, publicMethods, Refused, type Transport } from "../system/transports.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}] });

const long = "x".repeat(300);
const labels = Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`l${n}`, ""]));
const tokens = Array.from({ length: 9 }, () => "no token");
const charges = Array.from({ length: 17 }, (_, n) => ({ meter: `m${n}`, units: "1" }));

/** A body and every field of it that is wrong. */
interface Row {
  readonly body: object;
  readonly fields: readonly string[];
}

const rows: Readonly<Record<string, readonly Row[]>> = {
  "identity.v1.AccountService/CreateAccount": [
    {
      body: {
        parent: long,
        name: "a\u0000b",
        slug: "Not-Kebab",
        plan: "Gold!",
        profile: { city: long, zip_code: "\n" },
        labels,
        first_key: { name: "?", kind: "KEY_KIND_SUB", roles: ["King!"], scopes: ["a..b"] },
        idempotency_key: long,
      },
      fields: [
        "first_key.kind",
        "first_key.name",
        "first_key.roles[0]",
        "first_key.scopes[0]",
        "idempotency_key",
        "labels",
        "name",
        "parent",
        "plan",
        "profile.city",
        "profile.zip_code",
        "slug",
      ],
    },
    { body: {}, fields: ["name"] },
    {
      body: { plan: "no-such-plan", type: "no-such-type", first_key: { roles: ["auditor", "king"] } },
      fields: ["first_key.roles[1]", "name", "plan", "type"],
    },
    {
      body: { name: "fine", plan: "no-such-plan", first_key: { roles: ["king"] } },
      fields: ["first_key.roles[0]", "plan"],
    },
  ],
  "identity.v1.AccountService/GetAccount": [{ body: { account: long }, fields: ["account"] }],
  "identity.v1.AccountService/ListAccounts": [
    {
      body: { parent: long, status: 9, labels, page_size: 501, page_token: "?" },
      fields: ["labels", "page_size", "page_token", "parent", "status"],
    },
    { body: { page_size: -1 }, fields: ["page_size"] },
  ],
  "identity.v1.AccountService/SuspendAccount": [{ body: { reason: long }, fields: ["account", "reason"] }],
  "identity.v1.AccountService/ResumeAccount": [{ body: {}, fields: ["account"] }],
  "identity.v1.KeyService/CreateKey": [
    {
      body: {
        account: long,
        parent_key: "key_0",
        kind: "KEY_KIND_MASTER",
        roles: ["auditor", "King!"],
        scopes: ["fine", "**.x"],
        labels: { "": "x" },
        not_before: "0001-01-01T00:00:00Z",
        expires_at: "0001-01-01T00:00:00Z",
        idempotency_key: "\u0001",
      },
      fields: [
        "account",
        "expires_at",
        "idempotency_key",
        "labels",
        "name",
        "not_before",
        "parent_key",
        "roles[1]",
        "scopes[1]",
      ],
    },
    { body: { name: "fine", kind: 9 }, fields: ["kind"] },
    {
      body: {
        expires_at: "2020-01-01T00:00:00Z",
        roles: ["king"],
        endpoints: ["none"],
        denied_integrations: ["none"],
      },
      fields: ["denied_integrations[0]", "endpoints[0]", "expires_at", "name", "roles[0]"],
    },
    { body: { name: "fine", expires_at: "1970-01-01T00:00:01Z" }, fields: ["expires_at"] },
  ],
  "identity.v1.KeyService/GetKey": [{ body: {}, fields: ["key"] }],
  "identity.v1.KeyService/ListKeys": [
    {
      body: { account: long, status: 7, kind: 8, labels, page_size: -1, page_token: "?" },
      fields: ["account", "kind", "labels", "page_size", "page_token", "status"],
    },
  ],
  "identity.v1.KeyService/DisableKey": [{ body: { key: long }, fields: ["key"] }],
  "identity.v1.KeyService/EnableKey": [{ body: {}, fields: ["key"] }],
  "identity.v1.KeyService/RevokeKey": [{ body: { key: "a\u0000" }, fields: ["key"] }],
  "identity.v1.MeterService/CreateMeter": [
    { body: { name: "9", title: long, unit: long }, fields: ["name", "title", "unit"] },
  ],
  "identity.v1.MeterService/GetMeter": [{ body: {}, fields: ["meter"] }],
  "authz.v1.AuthzService/Verify": [
    {
      body: {
        resource: "a..b",
        account: "?",
        charges: [
          { meter: "?", units: "-1" },
          { meter: "fine", units: "9007199254740992" },
        ],
        request_id: long,
        at_least_as_fresh: ["?"],
        client_ip: "10.0.0.1/8",
        forwarded_for: "x".repeat(1001),
        integration: long,
        http: { method: "", path: "orders" },
      },
      fields: [
        "account",
        "at_least_as_fresh[0]",
        "charges[0].meter",
        "charges[0].units",
        "charges[1].units",
        "client_ip",
        "forwarded_for",
        "http",
        "http.method",
        "http.path",
        "integration",
        "key",
        "request_id",
        "resource",
      ],
    },
    {
      body: { key: "x", forwarded_for: "192.0.2.1", http: { method: "GET", path: `/${"x".repeat(8192)}` } },
      fields: ["client_ip", "http.path"],
    },
    {
      body: { key: "x".repeat(5000), charges, at_least_as_fresh: tokens },
      // Of too many only as many as there may be are looked at.
      fields: [
        "at_least_as_fresh",
        ...tokens.slice(1).map((_, i) => `at_least_as_fresh[${i}]`),
        "charges",
        "key",
      ],
    },
    { body: { key: "x", charges: [charges[0], charges[0]] }, fields: ["charges"] },
  ],
  "authz.v1.AuthzService/BatchVerify": [
    { body: {}, fields: ["requests"] },
    { body: { requests: Array.from({ length: 1001 }, () => ({ key: "x" })) }, fields: ["requests"] },
    {
      body: { requests: [{ key: "x" }, { resource: "." }] },
      fields: ["requests[1].key", "requests[1].resource"],
    },
  ],
  "metering.v1.LimitService/SetLimit": [
    { body: {}, fields: ["account", "rate"] },
    {
      body: {
        key: "key_0",
        meter: "nothing",
        resource: "!x",
        enforcement: 9,
        quota: { units: "-1", window: 9, time_zone: "Nowhere/City", anchor: "0001-01-01T00:00:00Z" },
      },
      fields: [
        "enforcement",
        "meter",
        "quota.anchor",
        "quota.time_zone",
        "quota.units",
        "quota.window",
        "resource",
      ],
    },
    {
      body: { key: "key_0", rate: { units: "0", interval: "0s", burst: "-1" } },
      fields: ["rate.burst", "rate.interval", "rate.units"],
    },
    { body: { key: "key_0", rate: { units: "1", interval: "86401s" } }, fields: ["rate.interval"] },
    {
      body: { key: "key_0", resource: `a.${long}`, rate: { units: "1", interval: "1s" } },
      fields: ["resource"],
    },
    { body: { account: long, rate: { units: "0", interval: "1s" } }, fields: ["account", "rate.units"] },
  ],
  "metering.v1.LimitService/DeleteLimit": [
    { body: {}, fields: ["limit"] },
    { body: { limit: long }, fields: ["limit"] },
  ],
  "metering.v1.LimitService/ResetLimit": [
    { body: {}, fields: ["limit"] },
    { body: { limit: long }, fields: ["limit"] },
  ],
  "metering.v1.LimitService/ListLimits": [
    {
      body: { account: long, page_size: 501, page_token: "?" },
      fields: ["account", "page_size", "page_token"],
    },
    { body: { key: long }, fields: ["key"] },
  ],
  "metering.v1.LimitService/GetAllowance": [
    { body: { account: long }, fields: ["account"] },
    { body: { key: "a\u0000" }, fields: ["key"] },
  ],
  "metering.v1.UsageService/QueryUsage": [
    {
      body: {
        group_by: ["GROUP_BY_ACCOUNT", 9],
        granularity: 9,
        time_zone: "Nowhere/City",
        start: "1969-12-31T23:59:59Z",
        end: "0001-01-01T00:00:00Z",
        page_size: 10001,
        page_token: "?",
      },
      fields: ["end", "granularity", "group_by[1]", "page_size", "page_token", "start", "time_zone"],
    },
    {
      body: { account: long, meter: "?", start: "2026-01-02T00:00:00Z", end: "2026-01-01T00:00:00Z" },
      fields: ["account", "meter", "start"],
    },
  ],
};

const methods = publicMethods().filter(({ methodKind }) => methodKind === "unary");
const transports = [
  ["JSON", overJson],
  ["gRPC", overGrpc],
] as const;

/** Rows show that everything wrong is named at once; that nothing wrong does harm, test/hostile shows of every RPC. */
test("no row is of an RPC that is gone", () => {
  expect(methods.map(nameOf)).toEqual(expect.arrayContaining(Object.keys(rows)));
});

async function expectRefused(transport: Transport, method: string, { body, fields }: Row): Promise<void> {
  const refused = await transport(system().root.secret, method, body).then(
    (answer) => answer,
    (error) => error,
  );
  expect(refused, JSON.stringify(body).slice(0, 200)).toBeInstanceOf(Refused);
  expect({ code: refused.code, fields: [...new Set(refused.fields)].sort() }).toEqual({
    code: "INVALID_ARGUMENT",
    fields: [...fields].sort(),
  });
}

describe.each(Object.entries(rows))("%s", (method, bodies) => {
  test.each(transports)("names every bad field over %s", async (_name, transport) => {
    for (const row of bodies) await expectRefused(transport(system()), method, row);
  });
});

test.each(methods.map(nameOf))(
  "%s refuses a field that it does not know, and a body that is none",
  async (name) => {
    const unknown = await system().json(system().root.secret, name, { no_such_field: 1 });
    expect(unknown.status, unknown.text).toBe(400);
    expect(badFieldsIn(unknown)).toEqual(["no_such_field"]);
    for (const body of [[], "text", 7, null]) {
      const refused = await system().json(system().root.secret, name, body);
      expect(refused.status, `${JSON.stringify(body)}: ${refused.text}`).toBe(400);
      expect(refused.body.code).toBe("invalid_argument");
    }
  },
);
