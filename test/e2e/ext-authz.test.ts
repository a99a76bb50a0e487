import { generateKeyPairSync } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { signedHeaders } from "@gatehouse/keys";
import { AttributeContextSchema, Authorization, type CheckResponse } from "@gatehouse/proto/envoy";
import { KeyKind, SigningAlgorithm } from "@gatehouse/proto/identity";
import { Window } from "@gatehouse/proto/metering";
import { type GrpcClient, grpcClient } from "@gatehouse/service";
import { afterAll, beforeAll, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

/** Envoy's Check on a real deployment: the same decisions as Verify's, charged alike. */

const system = useSystem({ replicas: [{ environment: { GATEHOUSE_STALENESS_MAX: "0s" } }] });
let acme: Organization;
let globex: Organization;
const opened: GrpcClient<typeof Authorization>[] = [];
let root: GrpcClient<typeof Authorization>;

beforeAll(async () => {
  acme = await makeOrganization(system(), "Acme", ["Team"]);
  globex = await makeOrganization(system(), "Globex");
  root = asVerifier(system().root.secret);
});
afterAll(() => {
  for (const client of opened) client.close();
});

function asVerifier(secret: string): GrpcClient<typeof Authorization> {
  const headers = { authorization: `Bearer ${secret}` };
  const client = grpcClient(Authorization, system().replicas[0]!.process.grpcAddress, { headers });
  opened.push(client);
  return client;
}

interface Called {
  readonly headers: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly path?: string;
  readonly route?: Readonly<Record<string, string>>;
}

function attributes({ headers, method = "GET", path = "/", route = { resource: "weather.read" } }: Called) {
  const init: MessageInitShape<typeof AttributeContextSchema> = {
    source: { address: { socketAddress: { address: "192.0.2.7" } } },
    request: { http: { method, path, headers: { ...headers } } },
    contextExtensions: { ...route },
  };
  return { attributes: create(AttributeContextSchema, init) };
}

function outcome({ httpResponse }: CheckResponse): {
  status: number;
  code?: string;
  headers: Record<string, string>;
} {
  const { headers } = httpResponse.value!;
  const named = Object.fromEntries(headers.map(({ header }) => [header!.key, header!.value]));
  if (httpResponse.case !== "deniedResponse") return { status: 200, headers: named };
  const { status, body } = httpResponse.value;
  return { status: status!.code, code: JSON.parse(body).code, headers: named };
}

async function check(called: Called, verifier = root) {
  return outcome(await verifier.check(attributes(called), timely));
}

test("a key is let in, charged, and refused when its quota is used up", async () => {
  const { key, id } = acme.subaccounts[0]!;
  const quota = { units: 3n, window: Window.NEVER };
  await acme.master.limits.setLimit(
    { node: { case: "key", value: key.id }, allowance: { case: "quota", value: quota } },
    timely,
  );
  const called = { headers: { "x-api-key": key.secret } };
  const passed = await check(called);
  expect(passed.headers).toMatchObject({
    "gatehouse-key-id": key.id,
    "gatehouse-account-id": id,
    "gatehouse-organization-id": acme.id,
  });
  const over = await until("the quota is used up", async () => {
    const answer = await check(called);
    return answer.status === 200 ? undefined : answer;
  });
  expect(over).toMatchObject({ status: 429, code: "QUOTA_EXCEEDED" });
  expect(over.headers["ratelimit-policy"]).toMatch(/^"requests";q=3(;w=\d+)?$/);
});

test("a signed request is let in once", async () => {
  const signing = { algorithm: SigningAlgorithm.ED25519 };
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url").toString("base64");
  const { key } = await acme.master.keys.createKey(
    {
      account: "team",
      name: "signer",
      kind: KeyKind.ACCOUNT,
      scopes: ["**"],
      signing: { ...signing, publicKey: raw },
    },
    timely,
  );
  const call = { method: "PUT", path: "/orders/7" };
  const headers = signedHeaders({
    keyId: key!.id,
    algorithm: "ED25519",
    secret: privateKey,
    ...call,
    body: "{}",
  });
  const passed = await check({ ...call, headers });
  expect([passed.status, passed.headers["gatehouse-content-sha256"]]).toEqual([
    200,
    headers["gatehouse-content-sha256"],
  ]);
  expect(await check({ ...call, headers })).toMatchObject({ status: 401, code: "REPLAYED" });
  expect(await check({ ...call, path: "/orders/8", headers })).toMatchObject({
    status: 401,
    code: "SIGNATURE_INVALID",
  });
});

test("an organization's own gateway sees its own keys, and none of others", async () => {
  const own = asVerifier(acme.key.secret);
  expect(await check({ headers: { "x-api-key": acme.key.secret } }, own)).toMatchObject({ status: 200 });
  const foreign = await check({ headers: { "x-api-key": globex.key.secret } }, own);
  expect(foreign).toMatchObject({ status: 401, code: "NOT_FOUND" });
});

test("a gateway without the scope is refused by gRPC", async () => {
  const called = attributes({ headers: { "x-api-key": acme.key.secret } });
  const { key } = acme.subaccounts[0]!;
  await expect(asVerifier(key.secret).check(called, timely)).rejects.toMatchObject({
    code: "PERMISSION_DENIED",
  });
  await expect(asVerifier("gth_none").check(called, timely)).rejects.toMatchObject({
    code: "UNAUTHENTICATED",
  });
});

test("what cannot be decided is 503, and not let in", async () => {
  const called = { headers: { "x-api-key": acme.key.secret } };
  expect((await check(called)).status).toBe(200);
  const link = system().replicas[0]!.links.identity;
  link.cut();
  try {
    const refused = await until("it does not know", async () => {
      const answer = await check(called);
      return answer.status === 200 ? undefined : answer;
    });
    expect(refused).toMatchObject({ status: 503, code: "INDETERMINATE" });
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
  } finally {
    link.mend();
  }
  await until("it knows again", async () => (await check(called)).status === 200);
});
