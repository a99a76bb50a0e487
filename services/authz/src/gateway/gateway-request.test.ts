import { contentSha256, signedHeaders } from "@gatehouse/keys";
import { describe, expect, test } from "vitest";
import { type GatewayRoute, gatewayRoute, verifyRequestOf } from "./gateway-request.ts";

interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly route?: Partial<GatewayRoute>;
  readonly clientIp?: string;
  readonly forwardedFor?: string;
  readonly path?: string;
  readonly method?: string;
}

const KEY = { "x-api-key": "gth_acc_1" };

function asked({ headers = KEY, route = {}, ...sent }: Sent) {
  return verifyRequestOf({
    method: "POST",
    path: "/orders?dry=true",
    clientIp: "192.0.2.1",
    forwardedFor: "",
    header: (name) => headers[name],
    route: { resource: "", integration: "", account: "", ...route },
    ...sent,
  });
}

function refusal(sent: Sent): string {
  try {
    asked(sent);
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "asked";
}

describe("the credential", () => {
  test("is a bearer token or an x-api-key", () => {
    expect(asked({ headers: { authorization: "bearer  one" } }).verify.key).toBe("one");
    expect(asked({ headers: { "x-api-key": "one" } }).verify.key).toBe("one");
    const both = { authorization: "Basic dXNlcjpwYXNz", "x-api-key": "one" };
    expect(asked({ headers: both }).credential).toEqual({ key: "one", header: "x-api-key" });
  });

  test.each([
    [{}],
    [{ "x-api-key": "" }],
    [{ authorization: "Basic dXNlcjpwYXNz" }],
    [{ authorization: "" }],
  ])("is missing in %o", (headers) => {
    expect(refusal({ headers })).toBe("CREDENTIAL_MISSING");
  });

  test.each([
    [{ authorization: "Bearer" }],
    [{ authorization: "Bearer " }],
    [{ authorization: "Bearer one two" }],
    // The same header twice, as gateways join it.
    [{ authorization: "Bearer one,Bearer two" }],
    [{ authorization: "Bearer one,two" }],
    [{ "x-api-key": "one,two" }],
    [{ "x-api-key": "one two" }],
  ])("is none in %o", (headers) => {
    expect(refusal({ headers })).toBe("CREDENTIAL_INVALID");
  });

  test.each([
    [{ authorization: "Bearer one", "x-api-key": "one" }],
    [{ authorization: "Bearer", "x-api-key": "one" }],
    [{ authorization: "Bearer one", "gatehouse-signature": "s" }],
    [{ "x-api-key": "one", "gatehouse-signature": "" }],
  ])("is one too many in %o", (headers) => {
    expect(refusal({ headers })).toBe("REQUEST_INVALID");
  });
});

describe("the path", () => {
  const route = { resource: "reports.read" };

  test.each([
    "/reports/../admin",
    "/reports//a",
    "/reports/%2E%2E/admin",
    "/reports;a=b",
    "/reports%2fa",
    "*",
  ])("%s is none that a route could have been chosen by", (path) => {
    expect(refusal({ route, path })).toBe("REQUEST_INVALID");
    // The catalog has no such endpoint, whatever is in it.
    expect(refusal({ path })).toBe("asked");
  });

  test.each(["/reports", "/reports/", "/reports/a.b?c=//..", "/"])("%s is", (path) => {
    expect(refusal({ route, path })).toBe("asked");
  });

  test("has no fragment", () => {
    for (const path of ["/reports#a", "/reports?a#b"]) {
      expect([refusal({ path }), refusal({ route, path })]).toEqual(["REQUEST_INVALID", "REQUEST_INVALID"]);
    }
  });
});

describe("a signed request", () => {
  const keyId = "key_00000000000000000001";
  const headers = signedHeaders({
    keyId,
    algorithm: "HMAC_SHA256",
    secret: "s".repeat(32),
    method: "POST",
    path: "/orders?dry=true",
    body: "{}",
    account: "team",
    timestampMs: 1_800_000_000_123,
    nonce: "nonce-0001",
  });

  test("is put together from its headers and the call", () => {
    const { verify, credential } = asked({ headers });
    expect(verify).toMatchObject({ key: "", account: "team" });
    expect(verify.signed).toMatchObject({
      keyId,
      signature: headers["gatehouse-signature"],
      nonce: "nonce-0001",
      timestamp: { seconds: 1_800_000_000n, nanos: 123_000_000 },
    });
    expect(verify.signed!.canonicalRequest.split("\n").slice(2, 5)).toEqual([
      "POST",
      "/orders?dry=true",
      "team",
    ]);
    expect(credential).toMatchObject({ contentSha256: contentSha256("{}") });
  });

  test.each(Object.keys(headers).filter((name) => !/signature|account/.test(name)))(
    "without %s is none",
    (name) => {
      const { [name]: _, ...rest } = headers;
      expect(refusal({ headers: rest })).toBe("CREDENTIAL_INVALID");
    },
  );
});

describe("what is called", () => {
  test("is the method and the path, as they came", () => {
    expect(asked({}).verify).toMatchObject({
      resource: "",
      http: { method: "POST", path: "/orders?dry=true" },
    });
  });

  test("is the route's resource, where it has one", () => {
    const { verify } = asked({ route: { resource: "orders.create" } });
    expect([verify.resource, verify.http]).toEqual(["orders.create", undefined]);
  });

  test("has to be said", () => {
    expect(refusal({ path: "" })).toBe("SETUP");
    expect(refusal({ path: "", route: { resource: "orders.create" } })).toBe("asked");
  });
});

test("a tunnel is not called, whatever the route says", () => {
  for (const route of [{}, { resource: "orders.create" }]) {
    for (const path of ["", "/orders"]) {
      expect(refusal({ method: "CONNECT", path, route })).toBe("REQUEST_INVALID");
    }
  }
});

describe("the account", () => {
  test("is the route's before the caller's", () => {
    const headers = { ...KEY, "gatehouse-account": "mine" };
    expect(asked({ headers }).verify.account).toBe("mine");
    expect(asked({ headers, route: { account: "theirs" } }).verify.account).toBe("theirs");
    expect(asked({}).verify.account).toBe("");
  });
});

test("nobody's word of where the call began is passed on where it is not known who said it", () => {
  expect(asked({ forwardedFor: "198.51.100.7" }).verify.forwardedFor).toBe("198.51.100.7");
  expect(asked({ clientIp: "", forwardedFor: "198.51.100.7" }).verify).toMatchObject({
    clientIp: "",
    forwardedFor: "",
  });
});

describe("a route", () => {
  test("says what it says", () => {
    expect(gatewayRoute([["integration", "zapier"]])).toEqual({
      resource: "",
      integration: "zapier",
      account: "",
    });
  });

  test.each([
    [[["resouce", "x"]]],
    [[["__proto__", "x"]]],
    [
      [
        ["account", "a"],
        ["account", "b"],
      ],
    ],
  ])("cannot say %o", (said) => {
    expect(() => gatewayRoute(said as [string, string][])).toThrow(
      expect.objectContaining({ code: "SETUP" }),
    );
  });
});
