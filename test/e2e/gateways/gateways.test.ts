import { contentSha256, signedHeaders } from "@gatehouse/keys";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { makeOrganization, type Organization } from "../../system/organization.ts";
import { until } from "../../system/until.ts";
import { useSystem } from "../../system/use-system.ts";
import { EchoBackend } from "./echo-backend.ts";
import { GATEWAYS, Gateway, type GatewayProgram, isInstalled } from "./gateway.ts";
import { type Sent, send } from "./send.ts";

/** The gateways of deploy/gateways, as they are there, between a caller and a backend. */

const system = useSystem({ replicas: [{}] });
let acme: Organization;
let verifierKey: string;
let backend: EchoBackend;

beforeAll(async () => {
  acme = await makeOrganization(system(), "Acme", ["Team"]);
  await asRoot("CatalogService/CreateApi", {
    name: "weather",
    endpoints: [
      { name: "read", method: "GET", path: "/weather/{city}", resource: "weather.read" },
      { name: "order", method: "POST", path: "/orders", resource: "orders.create" },
    ],
  });
  const verifier = { name: "gateway", kind: "KEY_KIND_ACCOUNT", scopes: ["gatehouse.verify"] };
  verifierKey = (await asRoot("KeyService/CreateKey", verifier)).secret as string;
  backend = await EchoBackend.start();
});
afterAll(() => backend?.close());

async function done(secret: string, method: string, body: object): Promise<Record<string, unknown>> {
  const { status, text } = await system().json(secret, method, body);
  expect(status, `${method}: ${text}`).toBe(200);
  return JSON.parse(text);
}
const asRoot = (method: string, body: object) => done(system().root.secret, `identity.v1.${method}`, body);

/** authz knows all that a freshness token speaks of. */
async function caughtUp(freshness: unknown): Promise<void> {
  const peek = {
    key: acme.key.secret,
    charges: [{ meter: "requests", units: "0" }],
    at_least_as_fresh: [freshness],
  };
  await done(system().root.secret, "authz.v1.AuthzService/Verify", peek);
}

let names = 0;
/** A key of the team, with the scopes of a reader. Known to authz once this returns. */
async function makeKey(more: object = {}): Promise<{ id: string; secret: string }> {
  const body = { account: "team", name: `reader ${++names}`, scopes: ["weather.**"], ...more };
  const { key, secret, freshness } = await done(acme.key.secret, "identity.v1.KeyService/CreateKey", body);
  await caughtUp(freshness);
  return { id: (key as { id: string }).id, secret: secret as string };
}

describe.each(GATEWAYS)("$name", (program: GatewayProgram) => {
  const missing = isInstalled(program)
    ? ""
    : `${program.name} is not installed: apt-get install ${program.package}`;
  if (missing !== "") console.warn(missing);
  const having = test.skipIf(missing !== "");
  let gateway: Gateway;
  let key: { id: string; secret: string };

  beforeAll(async () => {
    if (missing !== "") return;
    gateway = await Gateway.start(program, surroundings());
    key = await makeKey();
  });
  afterAll(() => gateway?.stop());

  function surroundings() {
    const authz = system().replicas[0]!.process.httpAddress;
    return { authz, backendPort: backend.port, verifierKey };
  }

  /** The answer, and what the backend got of it. */
  async function sent(request: Sent) {
    onTestFinished(({ task }) => {
      if (task.result?.state === "fail") console.error(gateway.log.join("").slice(-5000));
    });
    const before = backend.received.length;
    const answer = await send(gateway, request);
    const got = backend.received.slice(before);
    expect(got.length, "of the backend").toBe(answer.status === 200 ? 1 : 0);
    return { ...answer, got: got[0], problem: answer.status === 200 ? undefined : parsed(answer.text) };
  }

  having("tells the backend who calls, and nothing of the key", async () => {
    for (const headers of [{ authorization: `Bearer ${key.secret}` }, { "x-api-key": key.secret }]) {
      const { status, got } = await sent({ path: "/weather/berlin?units=metric", headers });
      expect([status, got?.method, got?.url]).toEqual([200, "GET", "/weather/berlin?units=metric"]);
      expect(got!.headers).toMatchObject({
        "gatehouse-key-id": key.id,
        "gatehouse-key-kind": "account",
        "gatehouse-account-id": acme.subaccounts[0]!.id,
        "gatehouse-account-slug": "team",
        "gatehouse-organization-id": acme.id,
        "gatehouse-decision-id": expect.stringMatching(/^dec_/),
      });
      expect(JSON.stringify(got!.headers)).not.toContain(key.secret);
      expect(JSON.stringify(got!.headers)).not.toContain(verifierKey);
    }
  });

  having("passes on what the caller sends, but what only authz may say", async () => {
    const smuggled = Object.fromEntries(
      `key-id key-kind account-id account-slug organization-id decision-id content-sha256 verifier status problem`
        .split(" ")
        .map((name) => [`Gatehouse-${name}`, "smuggled"]),
    );
    const headers = { ...smuggled, "x-api-key": system().root.secret, "x-mine": "kept" };
    const { status, got } = await sent({ headers });
    expect(status).toBe(200);
    expect(JSON.stringify(got!.headers)).not.toContain("smuggled");
    // The provider is no organization's.
    expect(got!.headers["gatehouse-organization-id"] ?? "").toBe("");
    expect(got!.headers["x-mine"]).toBe("kept");
  });

  having("and would pass that on, too, without the lines that take it away", async () => {
    await using unguarded = await Gateway.start(program, surroundings(), program.guarding);
    const headers = { "gatehouse-key-id": "smuggled", "x-api-key": key.secret };
    expect((await send(unguarded, { headers })).status).toBe(200);
    expect(backend.received.at(-1)!.headers["gatehouse-key-id"]).toBe("smuggled");
  });

  having("passes a body on as it is", async () => {
    const { secret } = await makeKey({ scopes: ["orders.create"] });
    const body = JSON.stringify({ item: "umbrella", note: "ü".repeat(10_000) });
    const headers = { "x-api-key": secret, "content-type": "application/json" };
    const { status, got } = await sent({ method: "POST", path: "/orders", headers, body });
    expect([status, got!.body === body]).toEqual([200, true]);
  });

  having("leaves the backend's own refusals as they are", async () => {
    for (const status of [401, 403, 500, 503]) {
      const answer = await send(gateway, {
        headers: { "x-api-key": key.secret, "x-answer": String(status) },
      });
      expect([answer.status, JSON.parse(answer.text).url]).toEqual([status, "/weather/berlin"]);
    }
  });

  having("passes a signed request on once, with the hash of its body and not the signature", async () => {
    const signing = { algorithm: "SIGNING_ALGORITHM_HMAC_SHA256" };
    const signer = await makeKey({ scopes: ["orders.create"], signing });
    const body = '{"item":"umbrella"}';
    const signed = (path: string) =>
      signedHeaders({
        keyId: signer.id,
        algorithm: "HMAC_SHA256",
        secret: signer.secret,
        method: "POST",
        path,
        body,
      });
    const order = { method: "POST", path: "/orders?dry=true", headers: signed("/orders?dry=true"), body };
    const { status, got } = await sent(order);
    expect([status, got?.headers["gatehouse-key-id"]]).toEqual([200, signer.id]);
    expect(got!.headers["gatehouse-content-sha256"]).toBe(contentSha256(got!.body));
    for (const name of ["key", "signature", "nonce", "timestamp", "algorithm"]) {
      expect(got!.headers).not.toHaveProperty(`gatehouse-${name}`);
    }
    expect((await sent(order)).problem).toMatchObject({ status: 401, code: "REPLAYED" });
    const elsewhere = await sent({ ...order, headers: signed("/orders?dry=false") });
    expect(elsewhere.problem).toMatchObject({ status: 401, code: "SIGNATURE_INVALID" });
  });

  /** The first key of an account that has an upstream credential. Known to authz once this returns. */
  async function makeUpstream(header: string, value: string): Promise<{ id: string; secret: string }> {
    const made = await done(acme.key.secret, "identity.v1.AccountService/CreateAccount", {
      name: `Upstream ${program.name} ${header}`,
      first_key: { scopes: ["weather.**", "orders.create"] },
    });
    const { id: account } = made.account as { id: string };
    const setting = { account, header, value };
    const set = await done(system().root.secret, "identity.v1.AccountService/SetUpstreamCredential", setting);
    await caughtUp(set.freshness);
    return { id: (made.key as { id: string }).id, secret: made.secret as string };
  }

  if (program.passesUpstreamCredential)
    having("sends the account's upstream credential in the place of the key, however long", async () => {
      const value = `Bearer ${"of-the-third-party.".repeat(300)}`.slice(0, 4096);
      const { id, secret } = await makeUpstream("authorization", value);
      for (const headers of [{ authorization: `Bearer ${secret}` }, { "x-api-key": secret }]) {
        const calls: Sent[] = [
          { headers },
          { headers, method: "POST", path: "/orders", body: "x".repeat(100_000) },
        ];
        for (const call of calls) {
          const { status, got } = await sent(call);
          expect([status, got?.headers["gatehouse-key-id"]]).toEqual([200, id]);
          expect(got!.headers.authorization).toBe(value);
          expect(got!.headers).not.toHaveProperty("x-api-key");
        }
      }
    });

  having("passes no call without the upstream credential that it should have", async () => {
    const { secret } = await makeUpstream("x-partner-key", "of-the-partner");
    const headers = { authorization: `Bearer ${secret}`, "x-partner-key": "of-the-caller" };
    const { status, problem, got } = await sent({ headers });
    if (program.passesAnyCredential) expect(got!.headers["x-partner-key"]).toBe("of-the-partner");
    else expect([status, problem?.code]).toEqual([500, "SETUP"]);
  });

  having("refuses a call without a key, with one that is none, and with two", async () => {
    const without = await sent({});
    expect([without.status, without.problem?.code]).toEqual([401, "CREDENTIAL_MISSING"]);
    expect(without.headers["www-authenticate"]).toBe('Bearer realm="gatehouse"');
    expect(without.headers["content-type"]).toBe("application/problem+json");
    const wrong = await sent({ headers: { "x-api-key": `${key.secret.slice(0, -6)}AAAAAA` } });
    expect([wrong.status, wrong.problem?.code]).toEqual([401, "NOT_FOUND"]);
    expect(wrong.headers["www-authenticate"]).toContain("invalid_token");
    const two = await sent({ headers: { "x-api-key": key.secret, authorization: `Bearer ${key.secret}` } });
    expect([two.status, two.problem?.code]).toEqual([400, "REQUEST_INVALID"]);
  });

  having("refuses what the key has no scope for, and paths that can be read in two ways", async () => {
    const headers = { "x-api-key": key.secret };
    for (const path of [
      "/weather",
      "/orders",
      "/weather/a%2Fb",
      "/weather//berlin",
      "/weather/x/../berlin",
      "/weather/%2e%2e",
    ]) {
      const { status, problem } = await sent({ path, headers });
      expect([path, status, problem?.code]).toEqual([path, 403, "SCOPE_DENIED"]);
    }
    expect((await sent({ method: "POST", path: "/orders", headers })).status).toBe(403);
  });

  having("believes no caller who says what it calls, or from where", async () => {
    const said = {
      "x-forwarded-method": "GET",
      "x-forwarded-uri": "/weather/berlin",
      "x-original-method": "GET",
      "x-original-uri": "/weather/berlin",
      "x-original-url": "http://api/weather/berlin",
    };
    const lied = await sent({
      method: "POST",
      path: "/orders",
      headers: { ...said, "x-api-key": key.secret },
    });
    expect(lied.status).toBe(403);
    const bound = await makeKey({ ip_allow: ["203.0.113.9"] });
    const from = await sent({ headers: { "x-api-key": bound.secret, "x-forwarded-for": "203.0.113.9" } });
    expect([from.status, from.problem?.code]).toEqual([403, "ADDRESS_DENIED"]);
    const local = await makeKey({ ip_allow: ["127.0.0.1"] });
    expect((await sent({ headers: { "x-api-key": local.secret } })).status).toBe(200);
  });

  having("acts on the account that a master key names", async () => {
    const headers = { "x-api-key": acme.key.secret, "gatehouse-account": "team" };
    const { status, got } = await sent({ headers });
    expect([status, got!.headers["gatehouse-account-id"]]).toEqual([200, acme.subaccounts[0]!.id]);
    expect(got!.headers).not.toHaveProperty("gatehouse-account");
    const nowhere = await sent({ headers: { ...headers, "gatehouse-account": "nowhere" } });
    expect([nowhere.status, nowhere.problem?.code]).toEqual([404, "TARGET_NOT_FOUND"]);
  });

  having("refuses more than a limit, and says when to come back", async () => {
    const limited = await makeKey();
    const rate = { interval: "60s", units: "2", burst: "2" };
    await done(acme.key.secret, "metering.v1.LimitService/SetLimit", {
      key: limited.id,
      meter: "requests",
      rate,
    });
    const headers = { "x-api-key": limited.secret };
    const over = await until("the limit binds", async () => {
      const answer = await sent({ headers });
      return answer.status === 429 ? answer : undefined;
    });
    expect(over.problem).toMatchObject({ code: "RATE_LIMITED", meter: "requests" });
    expect(Number(over.headers["retry-after"])).toBeGreaterThan(0);
    expect(over.headers.ratelimit).toMatch(/^"requests";r=\d+;t=\d+$/);
    expect(over.headers["ratelimit-policy"]).toBe('"requests";q=2;w=60');
  });

  having("refuses a revoked key", async () => {
    const revoked = await makeKey();
    expect((await sent({ headers: { "x-api-key": revoked.secret } })).status).toBe(200);
    await done(acme.key.secret, "identity.v1.KeyService/RevokeKey", { key: revoked.id });
    await until("it is refused", async () => {
      const { status } = await sent({ headers: { "x-api-key": revoked.secret } });
      return status === 401;
    });
  });

  having(
    "lets nothing pass while authz does not answer",
    async () => {
      const { process } = system().replicas[0]!;
      const headers = { "x-api-key": key.secret };
      expect((await sent({ headers })).status).toBe(200);
      process.pause();
      try {
        expect((await sent({ headers })).status).toBeGreaterThanOrEqual(500);
      } finally {
        process.resume();
      }
      await process.kill();
      try {
        const down = await sent({ headers });
        // Caddy says 502 of whom it asks.
        expect(down.status).toBe(program.name === "caddy" ? 502 : 503);
      } finally {
        await process.start();
      }
      await until("it passes again", async () => (await sent({ headers })).status === 200);
    },
    // Longer than all that it waits for, of which a start of authz may take a minute.
    150_000,
  );
});

function parsed(text: string): Record<string, unknown> | undefined {
  return text.startsWith("{") ? JSON.parse(text) : undefined;
}
