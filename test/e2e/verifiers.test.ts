import { request as httpsRequest } from "node:https";
import { AuthzService, DecisionCode } from "@gatehouse/proto/authz";
import { type Failure, type GrpcClient, grpcClient } from "@gatehouse/service";
import { type Certificate, TestCa, whyNoCertificates } from "@gatehouse/service/test-certificates";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { type JsonAnswer, reasonIn } from "../system/json-call.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

/* Who may call authz: by certificate, from which addresses, through which integrations, and with nothing at all. */

const ca = whyNoCertificates === undefined ? await TestCa.make() : undefined;
const own = await ca?.server();
const [PLAIN, TLS, OPEN] = [0, 1, 2];
const system = useSystem({
  replicas: [
    {},
    {
      environment: own && {
        GATEHOUSE_TLS_CERT: own.certPath,
        GATEHOUSE_TLS_KEY: own.keyPath,
        GATEHOUSE_TLS_CLIENT_CA: ca!.certPath,
      },
    },
    { environment: { GATEHOUSE_OPEN_VERIFY: "true" } },
  ].map(({ environment }) => (environment === undefined ? {} : { environment })),
});

const VERIFY = "authz.v1.AuthzService/Verify";
let acme: Organization;
let other: Organization;
const closing: { close(): void }[] = [];

beforeAll(async () => {
  acme = await makeOrganization(system(), "Acme", ["Team"]);
  other = await makeOrganization(system(), "Other");
}, 60_000);
afterAll(async () => {
  for (const client of closing) client.close();
  await ca?.[Symbol.asyncDispose]();
});

async function verifierKey(init: object = {}) {
  const name = `verifier ${crypto.randomUUID().slice(0, 8)}`;
  const made = await acme.master.keys.createKey({ name, scopes: ["gatehouse.verify"], ...init }, timely);
  return { id: made.key!.id, secret: made.secret, freshness: made.freshness };
}

/** The code of a decision, or the reason why there was none. */
async function outcomeOf(call: Promise<{ code: DecisionCode }>): Promise<string> {
  try {
    return DecisionCode[(await call).code]!;
  } catch (error) {
    const { code, reason } = error as Failure;
    return `${code} ${reason}`;
  }
}

describe.skipIf(whyNoCertificates !== undefined)("a client's certificate", () => {
  function clientOf(
    shown?: Certificate,
    headers: Record<string, string> = {},
  ): GrpcClient<typeof AuthzService> {
    const pair = shown === undefined ? [] : [Buffer.from(shown.key), Buffer.from(shown.cert)];
    const made = credentials.createSsl(Buffer.from(ca!.cert), ...pair);
    const address = system().replicas[TLS]!.process.grpcAddress.replace("127.0.0.1", "localhost");
    const client = grpcClient(AuthzService, address, { credentials: made, headers });
    closing.push(client);
    return client;
  }

  const overHttps = (
    shown: Certificate | undefined,
    body: object | undefined,
    path = `/gatehouse.${VERIFY}`,
    headers: Record<string, string> = { "content-type": "application/json" },
  ) =>
    new Promise<JsonAnswer>((resolve, reject) => {
      const [host, port] = system().replicas[TLS]!.process.httpAddress.split(":");
      const request = httpsRequest({
        ...{ host, port, path, headers, ca: ca!.cert, agent: false },
        method: body === undefined ? "GET" : "POST",
        ...(shown && { cert: shown.cert, key: shown.key }),
      });
      request.on("error", reject);
      request.on("response", async (response) => {
        const text = (await response.toArray()).join("");
        const parsed = text === "" ? {} : JSON.parse(text);
        resolve({ status: response.statusCode!, text, headers: {}, body: parsed });
      });
      request.end(body && JSON.stringify(body));
    });

  test("stands for the verifier's key that it names, over both transports, and sees what the key sees", async () => {
    const { id, freshness } = await verifierKey();
    for (const shown of [await ca!.issue(`/CN=${id}`), await ca!.issue("/CN=gw", `URI:gatehouse:${id}`)]) {
      const client = clientOf(shown);
      const asks = (key: string, more: object = {}) => outcomeOf(client.verify({ key, ...more }, timely));
      // With a token the caller is looked at again.
      expect(await asks(acme.subaccounts[0]!.key.secret, { atLeastAsFresh: [freshness] })).toBe("VALID");
      expect(await asks(acme.subaccounts[0]!.key.secret)).toBe("VALID");
      expect(await asks(other.key.secret)).toBe("NOT_FOUND");
      const answer = await overHttps(shown, { key: acme.key.secret });
      expect(answer.body.code, answer.text).toBe("DECISION_CODE_VALID");
    }
  });

  test("stops with its key, at once, on a connection that is open", async () => {
    const { id } = await verifierKey();
    const client = clientOf(await ca!.issue(`/CN=${id}`));
    const asks = () => outcomeOf(client.verify({ key: acme.key.secret }, timely));
    const within = async (expected: string) => {
      const sinceMs = performance.now();
      await until(expected, async () => (await asks()) === expected, 5000);
      expect(performance.now() - sinceMs).toBeLessThan(1000);
    };
    expect(await asks()).toBe("VALID");
    await acme.master.keys.disableKey({ key: id }, timely);
    await within("UNAUTHENTICATED KEY_DISABLED");
    await acme.master.keys.enableKey({ key: id }, timely);
    await within("VALID");
    const { freshness } = await acme.master.keys.revokeKey({ key: id }, timely);
    const shown = { key: acme.key.secret, atLeastAsFresh: [freshness] };
    expect(await outcomeOf(client.verify(shown, timely))).toBe("UNAUTHENTICATED CREDENTIAL_INVALID");
    await within("UNAUTHENTICATED CREDENTIAL_INVALID");
  });

  test("is held to the scope and the addresses of its key", async () => {
    const asks = async (init: object) => {
      const { id } = await verifierKey(init);
      return outcomeOf(clientOf(await ca!.issue(`/CN=${id}`)).verify({ key: acme.key.secret }, timely));
    };
    expect(await asks({ scopes: ["weather.read"] })).toBe("PERMISSION_DENIED SCOPE_DENIED");
    expect(await asks({ ipAllow: ["192.0.2.0/24"] })).toBe("PERMISSION_DENIED ADDRESS_DENIED");
    expect(await asks({ ipAllow: ["127.0.0.0/8", "::1/128"] })).toBe("VALID");
  });

  test("of another CA, of nobody, or none, is refused in words", async () => {
    const { id } = await verifierKey();
    await using stranger = await TestCa.make();
    for (const [shown, reason] of [
      [undefined, "CREDENTIAL_MISSING"],
      [await stranger.issue(`/CN=${id}`), "CREDENTIAL_INVALID"],
      [await ca!.issue("/CN=gateway"), "CREDENTIAL_INVALID"],
      [await ca!.issue("/CN=key_0000000000000000000000"), "CREDENTIAL_INVALID"],
    ] as const) {
      const call = clientOf(shown).verify({ key: acme.key.secret }, timely);
      expect(await outcomeOf(call)).toBe(`UNAUTHENTICATED ${reason}`);
      const answer = await overHttps(shown, { key: acme.key.secret });
      expect([answer.status, reasonIn(answer)]).toEqual([401, reason]);
    }
  });

  test("is the gateway's that asks for a caller, whatever the caller sends for it", async () => {
    const { id } = await verifierKey();
    const shown = await ca!.issue(`/CN=${id}`);
    const asks = (key: string, headers: Record<string, string> = {}) =>
      overHttps(shown, undefined, "/forward-auth?resource=weather.read", {
        authorization: `Bearer ${key}`,
        "x-forwarded-for": "192.0.2.1",
        ...headers,
      });
    expect((await asks(acme.subaccounts[0]!.key.secret)).status).toBe(200);
    expect((await asks(other.key.secret)).status).toBe(401);
    // By its own organization's verifier it would be let in.
    const own = { "gatehouse-verifier": other.key.secret };
    expect((await asks(other.key.secret, own)).status).toBe(401);
    const plain = system().replicas[PLAIN]!.process.httpAddress;
    const authorization = `Bearer ${other.key.secret}`;
    const headers = { authorization, "x-forwarded-for": "192.0.2.1", ...own };
    const answer = await fetch(`http://${plain}/forward-auth?resource=weather.read`, { headers });
    expect(answer.status, await answer.text()).toBe(200);
  });

  test("that is worth nothing keeps the gateway from asking, and does not let the caller choose who asks", async () => {
    const { id } = await verifierKey();
    await using stranger = await TestCa.make();
    const headers = { authorization: `Bearer ${other.key.secret}`, "gatehouse-verifier": other.key.secret };
    for (const shown of [
      await stranger.issue(`/CN=${id}`),
      await ca!.issue(`/CN=${id}`, undefined, "0"),
      await ca!.issue("/CN=gateway"),
    ]) {
      const answer = await overHttps(shown, undefined, "/forward-auth?resource=weather.read", headers);
      expect([answer.status, answer.body.code], answer.text).toEqual([500, "SETUP"]);
    }
    expect(
      (await overHttps(undefined, undefined, "/forward-auth?resource=weather.read", headers)).status,
    ).toBe(200);
  });

  test("counts for nothing where a key is presented, right or wrong", async () => {
    const { id, secret } = await verifierKey();
    await using stranger = await TestCa.make();
    const asks = (shown: Certificate, key: string) =>
      outcomeOf(clientOf(shown, { "x-api-key": key }).verify({ key: acme.key.secret }, timely));
    expect(await asks(await stranger.issue("/CN=whoever"), secret)).toBe("VALID");
    expect(await asks(await ca!.issue(`/CN=${id}`), `${secret}x`)).toBe("UNAUTHENTICATED CREDENTIAL_INVALID");
  });
});

test("a verifier's key is used from its own addresses only, over both transports", async () => {
  for (const [ipAllow, code, status] of [
    [["192.0.2.0/24"], "PERMISSION_DENIED ADDRESS_DENIED", 403],
    [["127.0.0.1/32"], "VALID", 200],
  ] as const) {
    const { secret } = await verifierKey({ ipAllow: [...ipAllow] });
    const call = system().as(secret).authz[PLAIN]!.verify({ key: acme.key.secret }, timely);
    expect(await outcomeOf(call)).toBe(code);
    expect((await system().json(secret, VERIFY, { key: acme.key.secret })).status).toBe(status);
  }
});

test("a verifier states no integration that its key is barred from", async () => {
  const zapier = { name: "zapier", title: "Zapier" };
  const { secret: root } = system().root;
  const listed = await system().json(root, "identity.v1.IntegrationService/CreateIntegration", zapier);
  expect(listed.status, listed.text).toBe(200);
  const { secret } = await verifierKey({ deniedIntegrations: ["zapier"] });
  const authz = system().as(secret).authz[PLAIN]!;
  const key = acme.subaccounts[0]!.key.secret;
  const denied = "PERMISSION_DENIED INTEGRATION_DENIED";
  expect(await outcomeOf(authz.verify({ key, integration: "zapier" }, timely))).toBe(denied);
  expect(await outcomeOf(authz.explain({ key, integration: "zapier" }, timely))).toBe(denied);
  expect(await outcomeOf(authz.verify({ key, integration: "make" }, timely))).toBe("VALID");
  expect(await outcomeOf(authz.verify({ key }, timely))).toBe("VALID");
  const requests = [{ key }, { key, integration: "zapier" }];
  await expect(authz.batchVerify({ requests }, timely)).rejects.toMatchObject({
    reason: "INTEGRATION_DENIED",
    message: expect.stringContaining("requests[1].integration"),
  });
  const barred = await acme.master.keys.createKey(
    { name: "barred", scopes: ["**"], deniedIntegrations: ["zapier"] },
    timely,
  );
  // It is the gateway that is refused there; this is a key's own.
  const provider = system().root.authz[PLAIN]!;
  const asked = { key: barred.secret, integration: "zapier", atLeastAsFresh: [barred.freshness] };
  expect(await outcomeOf(provider.verify(asked, timely))).toBe("INTEGRATION_DENIED");
});

describe("in open mode", () => {
  const bare = () => {
    const client = grpcClient(AuthzService, system().replicas[OPEN]!.process.grpcAddress);
    closing.push(client);
    return client;
  };
  const key = () => acme.subaccounts[0]!.key.secret;

  test("who says nothing of who it is sees everything, over both transports", async () => {
    const client = bare();
    expect(await outcomeOf(client.verify({ key: key() }, timely))).toBe("VALID");
    expect(await outcomeOf(client.verify({ key: other.key.secret }, timely))).toBe("VALID");
    expect(await outcomeOf(client.explain({ key: key() }, timely))).toBe("VALID");
    expect(await outcomeOf(client.heartbeat({ key: key() }, timely))).toBe("VALID");
    const { responses } = await client.batchVerify({ requests: [{ key: key() }] }, timely);
    expect(responses.map(({ code }) => code)).toEqual([DecisionCode.VALID]);
    const answer = await system().json(undefined, VERIFY, { key: key() }, OPEN);
    expect(answer.body.code, answer.text).toBe("DECISION_CODE_VALID");
    const { httpAddress } = system().replicas[OPEN]!.process;
    const headers = { authorization: `Bearer ${key()}`, "x-forwarded-for": "192.0.2.1" };
    const asked = await fetch(`http://${httpAddress}/forward-auth?resource=weather.read`, { headers });
    expect(asked.status, await asked.text()).toBe(200);
  });

  test("a wrong credential is refused as ever", async () => {
    const asks = (secret: string) =>
      outcomeOf(system().as(secret).authz[OPEN]!.verify({ key: key() }, timely));
    expect(await asks("nonsense")).toBe("UNAUTHENTICATED CREDENTIAL_INVALID");
    expect(await asks(other.key.secret)).toBe("NOT_FOUND");
    expect(await asks(acme.key.secret)).toBe("VALID");
  });

  test("nothing is reserved that nobody could settle", async () => {
    const reserveTtl = { seconds: 60n, nanos: 0 };
    await expect(bare().verify({ key: key(), reserveTtl }, timely)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [{ field: "reserve_ttl" }],
    });
  });

  test("it is said at the start, and is nobody else's mode", async () => {
    const { log } = system().replicas[OPEN]!.process;
    expect(log.filter((line) => line.includes("GATEHOUSE_OPEN_VERIFY"))).toHaveLength(1);
    for (const method of [VERIFY, "metering.v1.LimitService/ListLimits", "identity.v1.KeyService/ListKeys"]) {
      const answer = await system().json(undefined, method, {}, PLAIN);
      expect([answer.status, reasonIn(answer)]).toEqual([401, "CREDENTIAL_MISSING"]);
    }
  });
});
