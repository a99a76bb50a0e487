import { Caller } from "@gatehouse/proto/common";
import { accessRule } from "@gatehouse/service";
import { beforeAll, describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { reasonIn } from "../system/json-call.ts";
import { makeOrganization } from "../system/organization.ts";
import { nameOf, publicMethods } from "../system/transports.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}] });
let developer: string;
let revoked: string;

beforeAll(async () => {
  const made = await makeOrganization(system(), "Credentials", ["team", "gone"]);
  developer = made.subaccounts[0]!.key.secret;
  revoked = made.subaccounts[1]!.key.secret;
  const { freshness } = await made.master.keys.revokeKey({ key: made.subaccounts[1]!.key.id }, timely);
  const shown = { key: revoked, atLeastAsFresh: [freshness] };
  await system().root.authz[0]!.verify(shown, timely);
});

/** Streams are not for curl; what anyone may call takes no credential. The permission matrix has them all. */
const methods = publicMethods().filter(
  (method) => method.methodKind === "unary" && accessRule(method).caller !== Caller.ANYONE,
);

describe.each(methods.map(nameOf))("%s", (method) => {
  test("refuses a call without a key, with one that is none, and with a revoked one", async () => {
    // Mistyped: a forged key that has the form of one.
    const mistyped = `${developer.slice(0, -6)}AAAAAA`;
    const reasons = new Map([
      [undefined, "CREDENTIAL_MISSING"],
      ["", "CREDENTIAL_MISSING"],
      ["garbage", "CREDENTIAL_INVALID"],
      ["x".repeat(5000), "CREDENTIAL_INVALID"],
      [mistyped, "CREDENTIAL_INVALID"],
      [revoked, "CREDENTIAL_INVALID"],
    ]);
    for (const [key, reason] of reasons) {
      const refused = await until(`an answer to ${key?.slice(0, 20)}`, () => system().json(key, method, {}));
      expect(refused.status, `${key?.slice(0, 20)}: ${refused.text}`).toBe(401);
      expect(reasonIn(refused)).toBe(reason);
    }
  });
});

test.each([
  ["authz.v1.AuthzService/Verify", (key: string) => ({ key })],
  ["authz.v1.AuthzService/Heartbeat", (key: string) => ({ key })],
  ["authz.v1.AuthzService/BatchVerify", (key: string) => ({ requests: [{ key }] })],
])("%s is refused to a key without gatehouse.verify", async (method, body) => {
  const refused = await system().json(developer, method, body(developer));
  expect(refused.status, refused.text).toBe(403);
  expect(reasonIn(refused)).toBe("SCOPE_DENIED");
  expect(refused.body.code).toBe("permission_denied");
});
