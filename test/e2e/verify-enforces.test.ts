import { createHash } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

/** What identity is told, Verify enforces: from the answer of the change on, for whoever brings its token. */

const system = useSystem({
  replicas: [{ environment: { GATEHOUSE_TRUSTED_PROXIES: "10.0.0.0/8" } }],
});
let acme: Organization;

beforeAll(async () => {
  acme = await makeOrganization(system(), "Acme", ["Team"]);
});

type Body = Record<string, unknown>;

/** A change, which must succeed. */
async function change(secret: string, method: string, body: Body): Promise<Body & { freshness: string }> {
  const { status, text } = await system().json(secret, `identity.v1.${method}`, body);
  expect(status, `${method}: ${text}`).toBe(200);
  return JSON.parse(text);
}

const provider = (method: string, body: Body) => change(system().root.secret, method, body);
const master = (method: string, body: Body) => change(acme.key.secret, method, body);

async function makeKey(body: Body) {
  const { secret, key, freshness } = await master("KeyService/CreateKey", body);
  return { secret: secret as string, id: (key as { id: string }).id, freshness };
}

async function verify(key: string, freshness: string | undefined, body: Body = {}): Promise<string> {
  const request = { key, at_least_as_fresh: freshness === undefined ? [] : [freshness], ...body };
  const verified = await system().json(system().root.secret, "authz.v1.AuthzService/Verify", request);
  expect(verified.status, verified.text).toBe(200);
  return JSON.parse(verified.text).code.replace("DECISION_CODE_", "");
}

test("a role's scopes cut by UpdateRole bind at once", async () => {
  const role = { account: acme.id, name: "reader", scopes: ["weather.**"] };
  await master("RoleService/CreateRole", role);
  const { secret, freshness } = await makeKey({ account: "team", name: "reads", roles: ["reader"] });
  const read = { resource: "weather.read" };
  expect(await verify(secret, freshness, read)).toBe("VALID");
  const cut = await master("RoleService/UpdateRole", {
    account: acme.id,
    role: "reader",
    scopes: ["orders.read"],
  });
  expect(await verify(secret, cut.freshness, read)).toBe("SCOPE_DENIED");
  const gone = await master("RoleService/UpdateRole", {
    account: acme.id,
    role: "reader",
    scopes: ["weather.read"],
  });
  expect(await verify(secret, gone.freshness, read)).toBe("VALID");
});

test("a ceiling binds the keys of the account, and master keys that act on it", async () => {
  const { secret } = await makeKey({ account: "team", name: "trader", scopes: ["**"] });
  const order = { resource: "orders.create" };
  expect(await verify(secret, undefined, order)).toBe("VALID");
  const { freshness } = await master("AccountService/SetScopeCeiling", {
    account: "team",
    scopes: ["!orders.create"],
  });
  expect(await verify(secret, freshness, order)).toBe("SCOPE_DENIED");
  expect(await verify(acme.key.secret, freshness, { ...order, account: "team" })).toBe("SCOPE_DENIED");
  expect(await verify(acme.key.secret, freshness, order)).toBe("VALID");
  const lifted = await master("AccountService/SetScopeCeiling", { account: "team", scopes: [] });
  expect(await verify(secret, lifted.freshness, order)).toBe("VALID");
});

test("the ceiling of an account type binds the accounts of that type", async () => {
  await provider("TypeService/CreateType", { name: "trial", open: true, scope_ceiling: ["weather.**"] });
  const made = await master("AccountService/CreateAccount", { name: "Trial", type: "trial" });
  const secret = made.secret as string;
  expect(await verify(secret, made.freshness, { resource: "weather.read" })).toBe("VALID");
  expect(await verify(secret, made.freshness, { resource: "orders.read" })).toBe("SCOPE_DENIED");
  const { freshness } = await provider("TypeService/UpdateType", {
    type: "trial",
    scope_ceiling: ["orders.**"],
  });
  expect(await verify(secret, freshness, { resource: "weather.read" })).toBe("SCOPE_DENIED");
  expect(await verify(secret, freshness, { resource: "orders.read" })).toBe("VALID");
});

test("an HTTP call takes the resource of the catalog, and a key its endpoints", async () => {
  const endpoint = (name: string, path: string, resource: string) => ({
    name,
    method: "GET",
    path,
    resource,
  });
  const first = await provider("CatalogService/CreateApi", {
    name: "shop",
    endpoints: [
      endpoint("orders.list", "/orders", "orders.list"),
      endpoint("orders.get", "/orders/{id}", "orders.read"),
    ],
  });
  const { secret } = await makeKey({ name: "shopper", scopes: ["orders.**"], endpoints: ["orders.get"] });
  const get = (path: string) => ({ http: { method: "GET", path } });
  expect(await verify(secret, first.freshness, get("/orders/17?full=1"))).toBe("VALID");
  expect(await verify(secret, first.freshness, get("/orders"))).toBe("SCOPE_DENIED");
  expect(await verify(acme.key.secret, first.freshness, get("/orders"))).toBe("VALID");
  expect(await verify(acme.key.secret, first.freshness, get("/invoices"))).toBe("SCOPE_DENIED");
  expect(await verify(acme.key.secret, first.freshness, get("/orders//17"))).toBe("SCOPE_DENIED");
  const second = await provider("CatalogService/CreateApi", {
    name: "billing",
    endpoints: [endpoint("invoices.list", "/invoices", "invoices.list")],
  });
  expect(await verify(acme.key.secret, second.freshness, get("/invoices"))).toBe("VALID");
  const gone = await provider("CatalogService/DeleteApi", { api: "billing" });
  expect(await verify(acme.key.secret, gone.freshness, get("/invoices"))).toBe("SCOPE_DENIED");
});

test("a key is used from its addresses only, as the gateway and its proxies saw them", async () => {
  const { secret, freshness } = await makeKey({
    name: "office",
    scopes: ["**"],
    ip_allow: ["198.51.100.0/24"],
  });
  const from = (client_ip: string, forwarded_for = "") =>
    verify(secret, freshness, { client_ip, forwarded_for });
  expect(await from("198.51.100.7")).toBe("VALID");
  expect(await from("192.0.2.1")).toBe("ADDRESS_DENIED");
  expect(await verify(secret, freshness)).toBe("ADDRESS_DENIED");
  expect(await from("192.0.2.1", "198.51.100.7")).toBe("ADDRESS_DENIED");
  expect(await from("10.0.0.1", "198.51.100.7, 10.0.0.2")).toBe("VALID");
  expect(await from("10.0.0.1", "198.51.100.7, 192.0.2.1")).toBe("ADDRESS_DENIED");
  const call = await system().json(secret, "metering.v1.LimitService/ListLimits", {});
  expect([call.status, call.text]).toEqual([403, expect.stringContaining("ADDRESS_DENIED")]);
});

test("a key is not used through the integrations that it is denied", async () => {
  await provider("IntegrationService/CreateIntegration", { name: "zapier", title: "Zapier" });
  const { secret, freshness } = await makeKey({
    name: "no zapier",
    scopes: ["**"],
    denied_integrations: ["zapier"],
  });
  expect(await verify(secret, freshness, { integration: "zapier" })).toBe("INTEGRATION_DENIED");
  expect(await verify(secret, freshness, { integration: "make" })).toBe("VALID");
});

test("former slugs go on naming an account, in Verify and in metering", async () => {
  const made = await master("AccountService/CreateAccount", { name: "Squad" });
  const { id } = made.account as { id: string };
  const { freshness } = await master("AccountService/RenameAccount", { account: id, slug: "crew" });
  for (const account of ["squad", "crew"]) {
    expect(await verify(acme.key.secret, freshness, { account })).toBe("VALID");
    expect(await verify(made.secret as string, freshness, { account })).toBe("VALID");
    const limits = await system().json(acme.key.secret, "metering.v1.LimitService/ListLimits", { account });
    expect(limits.status, limits.text).toBe(200);
  }
});

test("an isolated organization's verifier does not see below it", async () => {
  const other = await makeOrganization(system(), "Isolated", ["Tenant"]);
  const tenant = other.subaccounts[0]!.key.secret;
  const seen = async (freshness: string) => {
    const request = { key: tenant, at_least_as_fresh: [freshness] };
    const { text } = await system().json(other.key.secret, "authz.v1.AuthzService/Verify", request);
    return JSON.parse(text).code;
  };
  const setIsolated = (isolated: boolean) =>
    provider("AccountService/UpdateSettings", { account: other.id, isolated, update_mask: "isolated" });
  const open = await setIsolated(false);
  expect(await seen(open.freshness)).toBe("DECISION_CODE_VALID");
  const { freshness } = await setIsolated(true);
  expect(await seen(freshness)).toBe("DECISION_CODE_NOT_FOUND");
  expect(await verify(tenant, freshness)).toBe("VALID");
  expect(await verify(other.key.secret, freshness, { account: "tenant" })).toBe("TARGET_NOT_FOUND");
});

test("a deleted meter is charged no more", async () => {
  const charge = () =>
    system().json(system().root.secret, "authz.v1.AuthzService/Verify", {
      key: acme.key.secret,
      charges: [{ meter: "tokens", units: "1" }],
    });
  await provider("MeterService/CreateMeter", { name: "tokens" });
  expect((await charge()).status).toBe(200);
  const { freshness } = await provider("MeterService/DeleteMeter", { meter: "tokens" });
  await verify(acme.key.secret, freshness);
  const refused = await charge();
  expect([refused.status, refused.text]).toEqual([400, expect.stringContaining("charges[0].meter")]);
});

test("identity comes to know when a key was used", async () => {
  const { secret, id } = await makeKey({ name: "used", scopes: ["**"] });
  const lastUsed = async () => {
    const { text } = await system().json(acme.key.secret, "identity.v1.KeyService/GetKey", { key: id });
    return JSON.parse(text).key.lastUsedAt as string | undefined;
  };
  expect(await lastUsed()).toBeUndefined();
  const beforeMs = Date.now();
  expect(await verify(secret, undefined)).toBe("VALID");
  const usedAt = await until("the use is known", async () => (await lastUsed()) ?? false);
  expect(Date.parse(usedAt)).toBeGreaterThanOrEqual(beforeMs - 1000);
});

test("an imported key works as it is, on the data plane and as a verifier's, until it is revoked", async () => {
  const presented = "legacy_live_0123456789abcdefghijklmnop";
  await provider("AccountService/UpdateSettings", { import_prefixes: ["legacy_"] });
  expect(await verify(presented, undefined)).toBe("NOT_FOUND");
  const made = await master("KeyService/ImportKeys", {
    keys: [
      {
        hash: createHash("sha256").update(presented).digest("hex"),
        prefix: "legacy_",
        name: "legacy",
        scopes: ["weather.**"],
        roles: ["administrator"],
      },
    ],
  });
  const [{ id }] = made.keys as [{ id: string }];
  expect(await verify(presented, made.freshness, { resource: "weather.read" })).toBe("VALID");
  expect(await verify(presented, made.freshness, { resource: "orders.read" })).toBe("SCOPE_DENIED");
  const asVerifier = () => system().json(presented, "authz.v1.AuthzService/Verify", { key: acme.key.secret });
  expect(JSON.parse((await asVerifier()).text).code).toBe("DECISION_CODE_VALID");
  const ofMetering = () => system().json(presented, "metering.v1.LimitService/ListLimits", {});
  const listed = await until("metering knows the prefix", async () => {
    const answer = await ofMetering();
    return answer.status !== 401 && answer;
  });
  expect(listed.status, listed.text).toBe(200);
  const { freshness } = await master("KeyService/RevokeKey", { key: id });
  expect(await verify(presented, freshness)).toBe("NOT_FOUND");
  expect((await asVerifier()).status).toBe(401);
  const refused = await until(
    "metering knows of the revocation",
    async () => (await ofMetering()).status === 401,
  );
  expect(refused).toBe(true);
});

// Last: from here on nobody who has not accepted them does anything.
test("terms close an organization's keys until it has accepted their version", async () => {
  const terms = { document: "tos", version: "1", title: "Terms", url: "https://example.com/tos" };
  const asked = await provider("TermsService/CreateTerms", terms);
  const { secret } = acme.subaccounts[0]!.key;
  expect(await verify(secret, asked.freshness)).toBe("TERMS_REQUIRED");
  const limits = await system().json(secret, "metering.v1.LimitService/ListLimits", {});
  expect([limits.status, limits.text]).toEqual([403, expect.stringContaining("TERMS_REQUIRED")]);
  const { freshness } = await master("AccountService/AcceptTerms", { document: "tos", version: "1" });
  expect(await verify(secret, freshness)).toBe("VALID");
});
