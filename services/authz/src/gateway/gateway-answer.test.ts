import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DecisionCode, VerifyResponseSchema } from "@gatehouse/proto/authz";
import { KeyKind } from "@gatehouse/proto/identity";
import { denied, invalid, overloaded } from "@gatehouse/service/failure";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import type { Credential } from "./credential.ts";
import { answerOf, answerOfError, type Passed, type Refused } from "./gateway-answer.ts";
import { CONSUMED_HEADERS, IDENTITY_HEADERS } from "./headers.ts";
import { Unanswerable } from "./unanswerable.ts";

const bearer: Credential = { key: "gth_acc_1", header: "authorization" };
const apiKey: Credential = { key: "gth_acc_1", header: "x-api-key" };
const signed = { signed: {}, contentSha256: "ab".repeat(32) } as unknown as Credential;

type Fields = Extract<MessageInitShape<typeof VerifyResponseSchema>, { readonly $typeName?: never }>;

const valid: Fields = {
  code: DecisionCode.VALID,
  decisionId: "dec_1",
  keyId: "key_1",
  keyKind: KeyKind.SUB,
  accountId: "acc_2",
  accountSlug: "team",
  organizationId: "acc_1",
};

function passed(more: Fields = {}, credential = bearer): Passed {
  return answerOf(create(VerifyResponseSchema, { ...valid, ...more }), credential) as Passed;
}

function refused(code: DecisionCode, more: Fields = {}): Refused {
  return answerOf(create(VerifyResponseSchema, { code, ...more }), bearer) as Refused;
}

function thrownBy(does: () => unknown): unknown {
  try {
    return does();
  } catch (error) {
    return error;
  }
}

/** What a gateway does with an answer. */
function onCall(
  sent: Readonly<Record<string, string>>,
  { headers, removed }: Passed,
): Record<string, string> {
  const kept = Object.entries(sent).filter(([name]) => !removed.includes(name));
  return { ...Object.fromEntries(kept), ...Object.fromEntries(headers) };
}

describe("a call that may pass", () => {
  test("tells the backend who calls, and not by which key", () => {
    const sent = { authorization: "Bearer gth_acc_1", accept: "text/html", "gatehouse-account": "team" };
    expect(onCall(sent, passed())).toEqual({
      accept: "text/html",
      "gatehouse-key-id": "key_1",
      "gatehouse-key-kind": "sub",
      "gatehouse-account-id": "acc_2",
      "gatehouse-account-slug": "team",
      "gatehouse-organization-id": "acc_1",
      "gatehouse-decision-id": "dec_1",
    });
  });

  test("keeps an authorization that was not the key", () => {
    const sent = { authorization: "Basic dXNlcjpwYXNz", "x-api-key": "gth_acc_1" };
    const got = onCall(sent, passed({}, apiKey));
    expect([got.authorization, got["x-api-key"]]).toEqual([sent.authorization, undefined]);
  });

  test("tells the hash of a body that was signed, and of no other", () => {
    const sent = { "gatehouse-content-sha256": "00", "gatehouse-signature": "s", "gatehouse-key": "key_1" };
    expect(onCall(sent, passed({}, signed))).toMatchObject({ "gatehouse-content-sha256": "ab".repeat(32) });
    expect(onCall(sent, passed())).not.toHaveProperty("gatehouse-content-sha256");
    for (const name of Object.keys(sent).slice(1)) expect(passed({}, signed).removed).toContain(name);
  });

  test("gets the upstream credential in the place of the caller's", () => {
    const answer = passed({ upstreamHeader: { name: "Authorization", value: "Bearer theirs" } });
    expect(answer.removed).not.toContain("authorization");
    expect(onCall({ authorization: "Bearer gth_acc_1" }, answer).authorization).toBe("Bearer theirs");
  });

  test("does not pass where its upstream credential would not be passed on", () => {
    const upstreamHeader = { name: "X-Partner-Key", value: "theirs" };
    const response = create(VerifyResponseSchema, { ...valid, upstreamHeader });
    const answer = (...passedOn: string[]) => answerOf(response, bearer, (name) => passedOn.includes(name));
    expect(() => answer("authorization")).toThrow("x-partner-key");
    expect(answerOfError(thrownBy(answer), vi.fn())).toMatchObject({ status: 500 });
    expect(answer("x-partner-key").headers.get("x-partner-key")).toBe("theirs");
    expect(answerOf(create(VerifyResponseSchema, valid), bearer, () => false).status).toBe(200);
  });

  test("says of itself nothing that the answer does not say", () => {
    const names = [...IDENTITY_HEADERS, ...CONSUMED_HEADERS, "authorization", "accept"];
    const sent = fc.dictionary(fc.constantFrom(...names), fc.string({ minLength: 1 }));
    const blank = fc.subarray(["keyId", "accountId", "accountSlug", "organizationId", "decisionId"] as const);
    fc.assert(
      fc.property(sent, blank, fc.constantFrom(bearer, apiKey, signed), (came, missing, credential) => {
        const answer = passed(Object.fromEntries(missing.map((name) => [name, ""])), credential);
        const { authorization, accept, ...rest } = onCall(came, answer);
        expect(rest).toEqual(Object.fromEntries(answer.headers));
        expect(accept).toBe(came.accept);
        expect(authorization).toBe(credential === bearer ? undefined : came.authorization);
        for (const name of answer.headers.keys()) expect(answer.removed).not.toContain(name);
      }),
    );
  });

  test.each(["a\r\nx-admin: 1", "a\nb", "\u0000", "ü", " a", ""])("holds no %j in a header", (value) => {
    const upstreamHeader = { name: "x-api-key", value };
    for (const more of [{ upstreamHeader }, ...(value === "" ? [] : [{ accountSlug: value }])]) {
      expect(() => passed(more)).toThrow("cannot hold");
    }
  });
});

describe("a call that may not pass", () => {
  test("has the status of why", () => {
    const statuses = Object.values(DecisionCode)
      .filter((code) => typeof code === "number" && code !== DecisionCode.VALID)
      .map((code) => [DecisionCode[code as number], refused(code as DecisionCode).status]);
    expect(Object.fromEntries(statuses)).toEqual({
      UNSPECIFIED: 503,
      NOT_FOUND: 401,
      DISABLED: 401,
      NOT_YET_VALID: 401,
      EXPIRED: 401,
      ACCOUNT_SUSPENDED: 401,
      ACCOUNT_CLOSED: 401,
      TERMS_REQUIRED: 403,
      TARGET_NOT_FOUND: 404,
      ADDRESS_DENIED: 403,
      INTEGRATION_DENIED: 403,
      SCOPE_DENIED: 403,
      SIGNATURE_INVALID: 401,
      REPLAYED: 401,
      RATE_LIMITED: 429,
      QUOTA_EXCEEDED: 429,
      CREDIT_EXHAUSTED: 402,
      INDETERMINATE: 503,
    });
  });

  test("says what is wrong as a problem that nobody caches", () => {
    const { headers, body } = refused(DecisionCode.EXPIRED, { reason: "too late", decisionId: "dec_1" });
    expect(JSON.parse(body)).toEqual({
      type: "about:blank",
      title: "Unauthorized",
      status: 401,
      code: "EXPIRED",
      detail: "too late",
      decision_id: "dec_1",
    });
    expect(Object.fromEntries(headers)).toEqual({
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      "www-authenticate": 'Bearer realm="gatehouse", error="invalid_token"',
    });
  });

  test("by its signature hears nothing of whether there is such a key, nor why it does not hold", () => {
    const told = (code: DecisionCode, reason: string) => {
      const response = create(VerifyResponseSchema, { code, reason, decisionId: "dec_1" });
      return answerOf(response, signed);
    };
    const unknown = told(DecisionCode.NOT_FOUND, "there is no such key");
    expect(unknown).toEqual(told(DecisionCode.SIGNATURE_INVALID, "the key signs by another algorithm"));
    expect(JSON.parse((unknown as Refused).body)).toMatchObject({ status: 401, code: "SIGNATURE_INVALID" });
    expect(told(DecisionCode.REPLAYED, "seen")).not.toEqual(unknown);
    expect(JSON.parse(refused(DecisionCode.NOT_FOUND).body)).toMatchObject({ code: "NOT_FOUND" });
  });

  test("is challenged for its credential, and for its scope", () => {
    const challenge = (code: DecisionCode) => refused(code).headers.get("www-authenticate");
    expect(challenge(DecisionCode.SCOPE_DENIED)).toContain("insufficient_scope");
    expect(challenge(DecisionCode.ADDRESS_DENIED)).toBeUndefined();
    expect(challenge(DecisionCode.RATE_LIMITED)).toBeUndefined();
  });

  test("over a limit hears what is left, when there is more and what is allowed, not whose limit it is", () => {
    const allowed = { allowed: 1000n, window: { seconds: 10n } };
    const { headers, body } = refused(DecisionCode.RATE_LIMITED, {
      bindingLimit: { limitId: "lim_1", nodeId: "acc_above", meter: "requests", remaining: 3n, ...allowed },
      retryAfter: { seconds: 1n, nanos: 1_000_000 },
    });
    expect([headers.get("retry-after"), headers.get("ratelimit")]).toEqual(["2", '"requests";r=3;t=2']);
    expect(headers.get("ratelimit-policy")).toBe('"requests";q=1000;w=10');
    expect(JSON.parse(body)).toMatchObject({ meter: "requests", code: "RATE_LIMITED" });
    expect(body).not.toMatch(/lim_1|acc_above/);
  });

  test.each([
    [undefined, '"requests";q=999999999999999'],
    [{ seconds: 0n, nanos: 500_000_000 }, '"requests";q=999999999999999'],
    [{ seconds: 86_400n }, '"requests";q=999999999999999;w=86400'],
  ])("hears of a window of %o only where it is one", (window, policy) => {
    const bindingLimit = { meter: "requests", allowed: 2n ** 60n, ...(window && { window }) };
    const { headers } = refused(DecisionCode.QUOTA_EXCEEDED, { bindingLimit });
    expect([headers.get("ratelimit-policy"), headers.get("ratelimit")]).toEqual([policy, '"requests";r=0']);
  });

  test("is told to come back where nothing could be decided", () => {
    const { headers } = refused(DecisionCode.INDETERMINATE, {
      retryAfter: { seconds: 0n, nanos: 100_000_000 },
    });
    expect(headers.get("retry-after")).toBe("1");
  });
});

describe("a call that was not decided", () => {
  const fault = vi.fn();
  const answered = (error: unknown) => {
    const { status, body, headers } = answerOfError(error, fault);
    return { status, ...JSON.parse(body), challenge: headers.get("www-authenticate") };
  };

  test("without a credential is challenged without an error", () => {
    const missing = answered(new Unanswerable("CREDENTIAL_MISSING", "needs a key"));
    expect(missing).toMatchObject({
      status: 401,
      challenge: 'Bearer realm="gatehouse"',
      detail: "needs a key",
    });
  });

  test("that is wrong is the caller's fault, or the gateway's", () => {
    const account = { field: "account", description: "must be a slug" };
    const resource = { field: "resource", description: "must be segments" };
    expect(answered(invalid([account]))).toMatchObject({ status: 400, code: "REQUEST_INVALID" });
    expect(answered(invalid([account, resource]))).toMatchObject({ status: 500, code: "SETUP" });
    const barred = denied("INTEGRATION_DENIED", "the verifier's key is barred from zapier");
    const setup = answered(barred);
    expect([setup.status, setup.code, setup.detail]).toEqual([
      500,
      "SETUP",
      expect.not.stringContaining("zapier"),
    ]);
    expect(fault).not.toHaveBeenCalled();
  });

  test("by overload or a fault of ours is 503, and says nothing of it", () => {
    expect(answered(overloaded("too many"))).toMatchObject({ status: 503, code: "UNAVAILABLE" });
    expect(fault).not.toHaveBeenCalled();
    const broken = new TypeError("x is undefined");
    expect(answered(broken)).toMatchObject({ status: 503, detail: "this cannot be decided now; try again" });
    expect(fault).toHaveBeenCalledExactlyOnceWith(broken);
  });
});
