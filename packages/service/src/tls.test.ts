import { request as httpsRequest } from "node:https";
import { connect as connectTls } from "node:tls";
import { AuthzService } from "@gatehouse/proto/authz";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { grpcClient } from "./client-grpc.ts";
import { readConfig } from "./config.ts";
import { type Guard, route } from "./handlers.ts";
import { createLog } from "./log.ts";
import { urisIn } from "./peer-certificate.ts";
import { type ServingService, serve } from "./server.ts";
import { Secret } from "./setting.ts";
import { type Certificate, TestCa, whyNoCertificates } from "./testing/certificates.ts";
import { serverTls } from "./tls.ts";

const address = { host: "127.0.0.1", port: 0 };
const log = createLog({ name: "test", level: "silent" });

/** Tells who was seen. */
const guard: Guard<string> = () => (call) => JSON.stringify(call.peerCertificate ?? "none");
const unused = () => {
  throw new Error("not asked for");
};
const routes = [
  route<typeof AuthzService, string>(AuthzService, {
    verify: (_request, { principal }) => ({ reason: principal }),
    batchVerify: unused,
    explain: unused,
    heartbeat: unused,
  }),
];

describe.skipIf(whyNoCertificates !== undefined)("a service with TLS", () => {
  let ca: TestCa;
  let other: TestCa;
  let own: Certificate;
  let server: ServingService;

  beforeAll(async () => {
    [ca, other] = await Promise.all([TestCa.make(), TestCa.make()]);
    own = await ca.server();
    const tls = { cert: own.cert, key: new Secret(own.key), clientCa: ca.cert };
    server = await serve({ grpc: address, http: address, routes, guard, log, tls, graceMs: 200 });
    server.setServing(true);
  });
  afterAll(async () => {
    await server.close();
    await Promise.all([ca, other].map((each) => each[Symbol.asyncDispose]()));
  });

  async function seenByGrpc(shown?: Certificate) {
    const pair = shown === undefined ? [] : [Buffer.from(shown.key), Buffer.from(shown.cert)];
    const made = credentials.createSsl(Buffer.from(ca.cert), ...pair);
    // grpc-js takes no address for a name that a certificate is to be of.
    const named = server.grpcAddress.replace("127.0.0.1", "localhost");
    const client = grpcClient(AuthzService, named, { credentials: made });
    try {
      return JSON.parse((await client.verify({}, { timeoutMs: 5000 })).reason);
    } finally {
      client.close();
    }
  }

  const seenByHttp = (shown?: Certificate) =>
    new Promise<unknown>((resolve, reject) => {
      const [host, port] = server.httpAddress.split(":");
      const request = httpsRequest({
        ...{ host, port, method: "POST", path: "/gatehouse.authz.v1.AuthzService/Verify", ca: ca.cert },
        ...(shown && { cert: shown.cert, key: shown.key }),
        headers: { "content-type": "application/json" },
        agent: false,
      });
      request.on("error", reject);
      request.on("response", async (response) => {
        const body = (await response.toArray()).join("");
        resolve(JSON.parse(JSON.parse(body).reason));
      });
      request.end("{}");
    });

  describe.each([
    ["gRPC", seenByGrpc],
    ["HTTP", seenByHttp],
  ])("over %s", (_, seen) => {
    it("asks for a certificate, and does without", async () => {
      expect(await seen()).toBe("none");
    });

    it("sees what a certificate names, and that it is of its CA", async () => {
      const shown = await ca.issue("/O=shop/CN=key_one", "URI:gatehouse:key_two,DNS:shop");
      const certificate = await seen(shown);
      expect(certificate).toMatchObject({
        isTrusted: true,
        commonName: "key_one",
        uris: ["gatehouse:key_two"],
      });
      const { expiresAtMs } = certificate as { expiresAtMs: number };
      expect(expiresAtMs - Date.now()).toBeGreaterThan(80_000_000);
      expect(expiresAtMs - Date.now()).toBeLessThanOrEqual(86_400_000);
    });

    it("does not trust a certificate of another CA", async () => {
      expect(await seen(await other.issue("/CN=key_one"))).toMatchObject({ isTrusted: false });
    });

    it("takes two common names for none", async () => {
      const shown = await seen(await ca.issue("/CN=key_one/CN=key_two"));
      expect(shown).toMatchObject({ isTrusted: true, uris: [] });
      expect(shown).not.toHaveProperty("commonName");
    });
  });

  it("takes no plaintext", async () => {
    const client = grpcClient(AuthzService, server.grpcAddress);
    await expect(client.verify({}, { timeoutMs: 5000 })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    client.close();
    await expect(fetch(`http://${server.httpAddress}/healthz`)).rejects.toThrow();
  });

  it("closes though somebody never shakes hands", async () => {
    const tls = { cert: own.cert, key: new Secret(own.key), clientCa: undefined };
    const closing = await serve({ grpc: address, http: address, routes, guard, log, tls, graceMs: 100 });
    const { connect } = await import("node:net");
    const [host, port] = closing.grpcAddress.split(":");
    const silent = connect(Number(port), host).on("error", () => {});
    await new Promise((resolve) => silent.once("connect", resolve));
    const closed = new Promise((resolve) => silent.once("close", resolve));
    silent.resume();
    await closing.close();
    await closed;
  });

  it("sees no certificate where it was told of no CA", async () => {
    const tls = { cert: own.cert, key: new Secret(own.key), clientCa: undefined };
    await using plain = await serve({ grpc: address, http: address, routes, guard, log, tls, graceMs: 100 });
    const [host, port] = plain.grpcAddress.split(":");
    const { cert, key } = await ca.issue("/CN=key_one");
    const socket = connectTls({ host, port: Number(port), ca: ca.cert, cert, key, ALPNProtocols: ["h2"] });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    expect([socket.authorized, socket.alpnProtocol]).toEqual([true, "h2"]);
    socket.destroy();
  });

  it("reads its files at start, and says what is wrong with them", () => {
    const tls = serverTls({ cert: "CERT", key: "KEY", clientCa: "CLIENT_CA" });
    const read = (env: Record<string, string>) => readConfig(env, { tls }).tls;
    const [CERT, KEY, CLIENT_CA] = [own.certPath, own.keyPath, ca.certPath];
    expect(read({})).toBeUndefined();
    expect(read({ CERT, KEY })).toMatchObject({ cert: own.cert, clientCa: undefined });
    expect(read({ CERT, KEY, CLIENT_CA })).toMatchObject({ clientCa: ca.cert });
    expect(JSON.stringify(read({ CERT, KEY }))).not.toContain("PRIVATE");
    for (const half of [{ CERT }, { KEY }, { CLIENT_CA }]) expect(() => read(half)).toThrow("given together");
    expect(() => read({ CERT, KEY: "/nowhere" })).toThrow("KEY names a file that cannot be read: /nowhere");
    expect(() => read({ CERT: CLIENT_CA, KEY })).toThrow("KEY is not the certificate's");
    expect(() => read({ CERT, KEY, CLIENT_CA: "/dev/null" })).toThrow("not PEM");
  });
});

describe("the URIs of a certificate", () => {
  it.each([
    ["URI:gatehouse:key_1", ["gatehouse:key_1"]],
    ["DNS:a, URI:b, IP Address:::1, URI:c", ["b", "c"]],
    // Names that hold what separates names.
    ['DNS:"a, URI:gatehouse:key_1, x", URI:b', ["b"]],
    ['URI:"gatehouse:key_1\\", URI:x"', []],
    ['DNS:"a, URI:gatehouse:key_1', []],
    ["", []],
  ])("of %s", (names, uris) => {
    expect(urisIn(names)).toEqual(uris);
  });
});
