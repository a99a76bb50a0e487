import { request as httpRequest, type IncomingMessage } from "node:http";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AuthzService, DecisionCode, type VerifyRequest, VerifyResponseSchema } from "@gatehouse/proto/authz";
import { createLog, type Guard, route, type ServingService, serve } from "@gatehouse/service";
import { denied, unauthenticated, unavailable } from "@gatehouse/service/failure";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { forwardAuth } from "./forward-auth.ts";

type Verified = MessageInitShape<typeof VerifyResponseSchema>;

let asked: VerifyRequest[] = [];
let verify: () => Verified;
const fault = vi.fn();
const guard: Guard<undefined> = () => (call) => {
  if (call.header("x-forwarded-for") !== undefined) throw new Error("the verifier was forwarded for nobody");
  const presented = call.header("authorization");
  if (presented === "Bearer weak") throw denied("SCOPE_DENIED", "the key does not hold gatehouse.verify");
  if (presented !== "Bearer verifier") throw unauthenticated("CREDENTIAL_INVALID");
  return undefined;
};

let server: ServingService;
beforeAll(async () => {
  const handlers = {
    verify: (request: VerifyRequest) => {
      asked.push(request);
      return verify();
    },
    batchVerify: () => ({}),
    explain: () => ({}),
    heartbeat: () => ({}),
  };
  server = await serve({
    grpc: { host: "127.0.0.1", port: 0 },
    http: { host: "127.0.0.1", port: 0 },
    routes: [route<typeof AuthzService, undefined>(AuthzService, handlers)],
    guard,
    extra: forwardAuth(fault),
    log: createLog({ name: "test", level: "silent" }),
  });
});
afterAll(() => server.close());
beforeEach(() => {
  asked = [];
  verify = () =>
    create(VerifyResponseSchema, { code: DecisionCode.VALID, keyId: "key_1", accountId: "acc_1" });
  fault.mockReset();
});

interface Asking {
  readonly query?: string;
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

const CALLED = { "x-forwarded-method": "GET", "x-forwarded-uri": "/weather?units=metric" };
const KEY = { "x-api-key": "gth_acc_1" };

/** What a gateway asks; not by fetch, which joins headers and lets some not be set. */
function ask({ query = "", method = "GET", body, headers = { ...CALLED, ...KEY } }: Asking): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const sent = { "gatehouse-verifier": "verifier", ...headers };
  const url = `http://${server.httpAddress}/forward-auth${query}`;
  // A connection for each: one that was kept could be closed just when the next request is sent on it.
  const request = httpRequest(url, { method, headers: sent, agent: false }, async (response) => {
    const text = (await response.toArray()).join("");
    resolve({ status: response.statusCode!, headers: response.headers, text });
  });
  request.once("error", reject).end(body);
  return promise;
}

const status = async (asking: Asking) => (await ask(asking)).status;
const codeOf = ({ text }: Answer) => JSON.parse(text).code as string;

describe("the answer", () => {
  test.each(["GET", "HEAD", "POST", "DELETE"])(
    "to %s holds the headers to set, and no body",
    async (method) => {
      const { status, headers, text } = await ask({ method, ...(method === "POST" && { body: "{}" }) });
      expect([status, text]).toEqual([200, ""]);
      expect(headers).toMatchObject({
        "gatehouse-key-id": "key_1",
        "gatehouse-account-id": "acc_1",
        "gatehouse-organization-id": "",
        "gatehouse-content-sha256": "",
        "gatehouse-status": "200",
        "cache-control": "no-store",
      });
    },
  );

  test("to a call that may not pass is what the caller is to be told", async () => {
    verify = () => ({ code: DecisionCode.RATE_LIMITED, retryAfter: { seconds: 3n } });
    const answer = await ask({});
    expect([answer.status, codeOf(answer)]).toEqual([429, "RATE_LIMITED"]);
    expect(answer.headers).toMatchObject({
      "retry-after": "3",
      "content-type": "application/problem+json",
      "gatehouse-status": "429",
    });
    expect(answer.headers).not.toHaveProperty("gatehouse-problem");
  });

  test("to nginx has a code that it knows, and the rest in headers", async () => {
    const query = "?codes=nginx";
    expect(await status({ query })).toBe(200);
    expect(await status({ query, headers: CALLED })).toBe(401);
    verify = () => ({ code: DecisionCode.RATE_LIMITED, retryAfter: { seconds: 3n } });
    const { status: shown, headers } = await ask({ query });
    expect([shown, headers["gatehouse-status"], headers["retry-after"]]).toEqual([403, "429", "3"]);
    expect(JSON.parse(headers["gatehouse-problem"] as string)).toMatchObject({ code: "RATE_LIMITED" });
  });

  test("to a fault of ours is 503", async () => {
    verify = () => {
      throw new TypeError("oops");
    };
    expect(await status({})).toBe(503);
    verify = () => ({ code: DecisionCode.VALID, keyId: "a\r\nx-admin: 1" });
    expect(await status({})).toBe(503);
    expect(fault).toHaveBeenCalledOnce();
    verify = () => {
      throw unavailable("identity");
    };
    expect(await status({})).toBe(503);
  });

  test("to a gateway that may not ask blames the gateway, and says no more", async () => {
    for (const verifier of ["somebody", "weak", ""]) {
      const answer = await ask({ headers: { ...CALLED, ...KEY, "gatehouse-verifier": verifier } });
      expect([answer.status, codeOf(answer)]).toEqual([500, "SETUP"]);
      expect(answer.headers).not.toHaveProperty("www-authenticate");
    }
    expect(asked).toEqual([]);
  });
});

describe("what is called", () => {
  test.each([
    [{ "x-forwarded-method": "PUT", "x-forwarded-uri": "/a?b" }, "/a?b"],
    [{ "x-original-method": "PUT", "x-original-uri": "/a?b" }, "/a?b"],
    [{ "x-original-method": "PUT", "x-original-url": "https://api.example.com/a?b" }, "/a?b"],
    [{ "x-original-method": "PUT", "x-original-url": "https://api.example.com:8443//a" }, "//a"],
  ])("is read from %o", async (headers, path) => {
    expect(await status({ headers: { ...headers, ...KEY } })).toBe(200);
    expect(asked).toMatchObject([{ http: { method: "PUT", path } }]);
  });

  test.each([
    [{ ...CALLED, "x-original-method": "GET", "x-original-uri": "/other" }],
    [{ ...CALLED, "x-original-url": "https://api.example.com/other" }],
    [{ ...CALLED, "x-original-method": "DELETE" }],
    [{ "x-forwarded-uri": "/weather", "x-original-method": "DELETE", "x-forwarded-method": "GET" }],
    [{ ...CALLED, "x-forwarded-uri": ["/weather", "/other"] }],
    [{ ...CALLED, "x-forwarded-method": ["GET", "DELETE"] }],
    [{ "x-original-method": "GET", "x-original-uri": "/a", "x-original-url": "https://x/b" }],
  ])("is refused where it is said more than once: %o", async (headers) => {
    const answer = await ask({ headers: { ...headers, ...KEY } });
    expect([answer.status, codeOf(answer)]).toEqual([400, "REQUEST_INVALID"]);
    expect(asked).toEqual([]);
  });

  test.each([[{}], [{ "x-forwarded-uri": "/weather" }]])("has to be said: %o", async (headers) => {
    expect(await status({ headers: { ...headers, ...KEY } })).toBe(500);
    expect(await status({ query: "?resource=weather.read", headers: { ...headers, ...KEY } })).toBe(200);
  });

  // HAProxy has no path of a CONNECT, which opens a tunnel.
  test.each([
    [{ "x-forwarded-method": "CONNECT" }],
    [{ "x-original-method": "GET" }],
    [{ "x-forwarded-method": "GET", "x-original-method": "GET" }],
    [{ "x-forwarded-method": "GET", "x-forwarded-uri": "" }],
    [{ "x-forwarded-uri": "" }],
    [{ "x-forwarded-method": "CONNECT", "x-forwarded-uri": "/" }],
  ])("is refused as a tunnel, or for want of a path, whatever the route says: %o", async (headers) => {
    for (const query of ["", "?resource=weather.read"]) {
      const answer = await ask({ query, headers: { ...headers, ...KEY } });
      expect([answer.status, codeOf(answer)]).toEqual([400, "REQUEST_INVALID"]);
    }
    expect(asked).toEqual([]);
  });
});

test.each(["/weather#", "/weather?a#b", "https://api.example.com/weather#b"])(
  "a fragment is no part of a call: %s",
  async (path) => {
    const headers = { "x-original-method": "GET", "x-original-url": path, ...KEY };
    for (const query of ["", "?resource=weather.read"]) {
      const answer = await ask({ query, headers });
      expect([answer.status, codeOf(answer)]).toEqual([400, "REQUEST_INVALID"]);
    }
    expect(asked).toEqual([]);
  },
);

test.each(["//weather", "/reports/../admin", "/reports/%2e%2e/admin", "/a%2fb", "/a%5Cb", "/a;b/c", "/./a"])(
  "a route that says the resource is not taken for another by %s",
  async (path) => {
    const headers = { ...CALLED, ...KEY, "x-forwarded-uri": path };
    const answer = await ask({ query: "?resource=reports.read", headers });
    expect([answer.status, codeOf(answer)]).toEqual([400, "REQUEST_INVALID"]);
    expect(asked).toEqual([]);
  },
);

describe("the upstream credential", () => {
  const upstreamHeader = { name: "X-Partner-Key", value: "theirs" };

  test.each(["?upstream=x-partner-key", "?upstream=authorization,X-Partner-Key&codes=nginx", "?upstream=*"])(
    "is set where the gateway says %s",
    async (query) => {
      verify = () => ({ code: DecisionCode.VALID, upstreamHeader });
      const { status, headers } = await ask({ query });
      expect([status, headers["x-partner-key"]]).toEqual([200, "theirs"]);
    },
  );

  test.each(["", "?upstream=", "?upstream=authorization,x-api-key"])(
    "keeps a call from passing where the gateway says %j, and would lose it",
    async (query) => {
      verify = () => ({ code: DecisionCode.VALID, upstreamHeader });
      const answer = await ask({ query });
      expect([answer.status, codeOf(answer)]).toEqual([500, "SETUP"]);
      expect(answer.headers).not.toHaveProperty("x-partner-key");
      verify = () => ({ code: DecisionCode.VALID });
      expect(await status({ query })).toBe(200);
    },
  );
});

describe("the configuration", () => {
  test("is in the query", async () => {
    await ask({ query: "?resource=weather.read&integration=zapier&account=team&codes=nginx" });
    expect(asked).toMatchObject([{ resource: "weather.read", integration: "zapier", account: "team" }]);
    expect(asked[0]!.http).toBeUndefined();
  });

  test.each(["?resouce=a", "?codes=apache", "?resource=a&resource=b", "?=", "?resource=a?b&x"])(
    "cannot be %s",
    async (query) => {
      expect(await status({ query })).toBe(500);
    },
  );
});

test.each(["resource=weather.read", "units=metric&resource=weather.read", "q=a%20b", "upstream=*"])(
  "the caller's query, %s, is not taken for the configuration",
  async (query) => {
    const headers = { ...CALLED, ...KEY, "x-forwarded-uri": `/orders?${query}` };
    const answer = await ask({ query: `?${query}`, headers });
    expect([answer.status, codeOf(answer)]).toEqual([500, "SETUP"]);
    expect(asked).toEqual([]);
  },
);

test("what the configuration cannot say is repeated in any script, in a header as well", async () => {
  const { status: shown, headers } = await ask({ query: "?codes=nginx&%F0%9F%94%91%0D%0A=1" });
  expect([shown, headers["gatehouse-status"]]).toEqual([403, "500"]);
  expect(JSON.parse(headers["gatehouse-problem"] as string).detail).toContain("\u{1f511}\r\n");
});

describe("the caller's address", () => {
  test.each([
    ["198.51.100.7", "198.51.100.7", ""],
    ["203.0.113.9, 198.51.100.7", "198.51.100.7", "203.0.113.9"],
    [["203.0.113.9, 10.0.0.1", "198.51.100.7"], "198.51.100.7", "203.0.113.9,10.0.0.1"],
    ["", "", ""],
  ])("is the last of %j", async (forwarded, clientIp, forwardedFor) => {
    await ask({ headers: { ...CALLED, ...KEY, "x-forwarded-for": forwarded } });
    expect(asked).toMatchObject([{ clientIp, forwardedFor }]);
  });

  test("is not that of the gateway", async () => {
    await ask({});
    expect(asked).toMatchObject([{ clientIp: "", forwardedFor: "" }]);
  });
});

test("a key that came twice is none", async () => {
  expect(await status({ headers: { ...CALLED, authorization: ["Bearer one", "Bearer two"] } })).toBe(401);
  expect(await status({ headers: { ...CALLED, "x-api-key": ["one", "two"] } })).toBe(401);
  expect(asked).toEqual([]);
});

test("whatever is asked is answered, and nothing passes that Verify was not asked about", async () => {
  const names = [
    "authorization",
    "x-api-key",
    "gatehouse-signature",
    "gatehouse-account",
    "gatehouse-timestamp",
    "x-forwarded-for",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-original-url",
  ];
  const visible = fc.string({
    unit: fc
      .integer({ min: 0x20, max: 0xff })
      .filter((unit) => unit !== 0x7f)
      .map((unit) => String.fromCharCode(unit)),
  });
  const value = fc.oneof(
    visible,
    fc.constantFrom("Bearer one", "/weather?a=b", "https://x/y", "::1, 10.0.0.1"),
  );
  const headers = fc.dictionary(
    fc.constantFrom(...names),
    fc.oneof(value, fc.array(value, { minLength: 2, maxLength: 3 })),
  );
  const parameter = fc.tuple(fc.constantFrom("resource", "codes", "account", ""), fc.webQueryParameters());
  const query = fc
    .array(
      parameter.map((pair) => pair.join("=")),
      { maxLength: 3 },
    )
    .map((pairs) => `?${pairs.join("&")}`);
  await fc.assert(
    fc.asyncProperty(headers, query, async (headers, query) => {
      asked = [];
      const { status } = await ask({ headers, query });
      expect([200, 400, 401, 403, 500]).toContain(status);
      expect(asked.length).toBe(status === 200 ? 1 : 0);
    }),
    { numRuns: 300 },
  );
  expect(fault).not.toHaveBeenCalled();
});

test("other paths are somebody else's", async () => {
  const found = await fetch(`http://${server.httpAddress}/forward-auth/`);
  expect(found.status).toBe(404);
});
