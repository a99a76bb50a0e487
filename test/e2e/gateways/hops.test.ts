import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { timely } from "../../system/caller.ts";
import { makeOrganization, type Organization } from "../../system/organization.ts";
import { useSystem } from "../../system/use-system.ts";
import { EchoBackend } from "./echo-backend.ts";
import { GATEWAYS, Gateway, type GatewayProgram, isInstalled } from "./gateway.ts";
import { type Sent, send } from "./send.ts";

/** What a caller may do to the hop behind the gateway: open a tunnel, have headers taken off it, or send its own on it. */

const system = useSystem({ replicas: [{}] });
let acme: Organization;
let backend: EchoBackend;
let verifierKey: string;

beforeAll(async () => {
  acme = await makeOrganization(system(), "Acme", ["Team"]);
  const endpoints = [
    { name: "read", method: "GET", path: "/weather/{city}", resource: "weather.read" },
    { name: "order", method: "POST", path: "/orders", resource: "orders.create" },
  ];
  const { secret } = system().root;
  const made = await system().json(secret, "identity.v1.CatalogService/CreateApi", { name: "a", endpoints });
  expect(made.status, made.text).toBe(200);
  const verifier = { name: "gateway", scopes: ["gatehouse.verify"] };
  verifierKey = (await system().root.keys.createKey(verifier, timely)).secret;
  backend = await EchoBackend.start();
});
afterAll(() => backend?.close());

const key = () => acme.subaccounts[0]!.key.secret;

describe.each(GATEWAYS)("$name", (program: GatewayProgram) => {
  const isHere = isInstalled(program);
  const having = test.skipIf(!isHere);
  let gateway: Gateway;
  beforeAll(async () => {
    if (isHere) gateway = await Gateway.start(program, surroundings());
  });
  afterAll(() => gateway?.stop());

  const surroundings = () => ({
    authz: system().replicas[0]!.process.httpAddress,
    backendPort: backend.port,
    verifierKey,
  });

  /** The answer, what the backend got, and the tunnels that were opened to it. */
  async function sent(request: Sent, through = gateway) {
    const { received, tunnels } = backend;
    const [calls, opened] = [received.length, tunnels.length];
    const headers = { authorization: `Bearer ${key()}`, ...request.headers };
    const answer = await send(through, { ...request, headers });
    return { ...answer, got: received.slice(calls)[0]?.headers, opened: tunnels.slice(opened) };
  }

  const H2C = {
    connection: "Upgrade, HTTP2-Settings",
    upgrade: "h2c",
    "http2-settings": "AAMAAABkAARAAAAAAAIAAAAA",
  };

  having.each([
    H2C,
    { ...H2C, connection: "upgrade" },
    { ...H2C, upgrade: ["h2c", "websocket"] },
    { ...H2C, upgrade: "websocket, h2c" },
    { ...H2C, upgrade: "h2c, websocket" },
    { connection: "upgrade", upgrade: "tls/1.0" },
  ])("opens no tunnel for %o", async (headers) => {
    const { opened, status } = await sent({ headers });
    expect(opened).toEqual([]);
    // HAProxy refuses a websocket that comes without a key.
    expect([200, 400]).toContain(status);
  });

  having("opens no tunnel by CONNECT", async () => {
    for (const path of [new URL(gateway.url).host, "/weather/berlin"]) {
      const { opened, status, got } = await sent({ method: "CONNECT", path });
      expect([opened, got]).toEqual([[], undefined]);
      expect([400, 405]).toContain(status);
    }
  });

  const WEBSOCKET = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" };

  if (program.passesWebsockets)
    having("opens a websocket for who may call", async () => {
      const headers = { ...WEBSOCKET, "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
      expect(await sent({ headers })).toMatchObject({ status: 101, opened: ["websocket"] });
      const refused = await sent({ headers: { ...headers, authorization: "Bearer nonsense" } });
      expect([refused.status, refused.opened]).toEqual([401, []]);
    });

  const NAMED = "gatehouse-account-id, gatehouse-organization-id, gatehouse-key-kind, gatehouse-decision-id";

  having.each([
    [["close", NAMED]],
    [[`close, ${NAMED}`]],
    [[NAMED, "keep-alive"]],
    [["close", NAMED.toUpperCase()]],
    [["close, gatehouse-verifier, x-forwarded-uri, x-forwarded-method, x-forwarded-for, x-original-uri"]],
  ])("says who calls, though the caller's Connection is %j", async (connection) => {
    const { got } = await sent({ headers: { connection } });
    expect(got).toMatchObject({
      "gatehouse-account-id": acme.subaccounts[0]!.id,
      "gatehouse-organization-id": acme.id,
      "gatehouse-key-kind": "account",
      "gatehouse-decision-id": expect.stringMatching(/^dec_/),
    });
    expect(got!.connection ?? "").not.toMatch(/gatehouse/i);
  });

  having.each(["x-api-key", "authorization"])(
    "asks about both of two keys, though the caller's Connection names %s",
    async (connection) => {
      // Taken off before authz is asked, either would leave the other for a call that may pass.
      const { status, text, got } = await sent({ headers: { connection, "x-api-key": key() } });
      expect([status, got]).toEqual([400, undefined]);
      expect(JSON.parse(text)).toMatchObject({ code: "REQUEST_INVALID" });
    },
  );

  if (program.hops !== undefined)
    having("and would open and lose them without the lines that keep it from that", async () => {
      await using unguarded = await Gateway.start(program, surroundings(), program.hops);
      const { opened } = await sent({ headers: { connection: "upgrade", upgrade: "h2c" } }, unguarded);
      expect(opened).toEqual(["h2c"]);
      // HAProxy leaves the taking off to who comes next.
      const { got } = await sent({ headers: { connection: NAMED } }, unguarded);
      expect([undefined, NAMED]).toContain(got!["gatehouse-account-id"] && got!.connection);
      // Of two keys Caddy would ask about the one that it leaves.
      const twoKeys = { connection: "x-api-key", "x-api-key": key() };
      const { status } = await sent({ headers: twoKeys }, unguarded);
      expect(status).toBe(program.name === "caddy" ? 200 : 400);
    });

  having("says who calls in headers, though a trailer says otherwise", async () => {
    const { got } = await sent({
      method: "POST",
      path: "/orders",
      headers: { trailer: "gatehouse-account-id", "transfer-encoding": "chunked" },
      body: "{}",
      trailers: { "gatehouse-account-id": "smuggled" },
    });
    expect(got).toMatchObject({ "gatehouse-account-id": acme.subaccounts[0]!.id });
  });

  having("passes no header on that some backends take for another", async () => {
    const headers = {
      gatehouse_key_id: "smuggled",
      "gatehouse-account_id": "smuggled",
      x_api_key: "smuggled",
    };
    const { status, got } = await sent({ headers });
    expect(status).toBe(200);
    expect(JSON.stringify(got)).not.toContain("smuggled");
  });
});
