import { DecisionCode } from "@gatehouse/proto/authz";
import { beforeAll, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}] });
let made: Organization;

beforeAll(async () => {
  made = await makeOrganization(system(), "Request ids", ["one", "two", "three"]);
});

const verify = (i: number, requestId: string) =>
  system().root.authz[0]!.verify({ key: made.subaccounts[i]!.key.secret, requestId }, timely);

test("a retry gets the first answer, by the state of now", async () => {
  const first = await verify(0, "retried");
  expect(first.code).toBe(DecisionCode.VALID);
  const asOfNow = { freshness: expect.any(String), staleness: expect.anything() };
  expect(await verify(0, "retried")).toEqual({ ...first, ...asOfNow });
  expect((await verify(0, "another")).decisionId).not.toBe(first.decisionId);
});

test("a request id that comes again with another key is not answered about the first key", async () => {
  const first = await verify(0, "reused");
  const other = await verify(1, "reused").catch(() => undefined);
  expect(other?.keyId).not.toBe(first.keyId);
});

test("a retry of a call with a key that was revoked since is not VALID", async () => {
  await verify(2, "revoked since");
  const { freshness } = await made.master.keys.revokeKey({ key: made.subaccounts[2]!.key.id }, timely);
  const retry = {
    key: made.subaccounts[2]!.key.secret,
    requestId: "revoked since",
    atLeastAsFresh: [freshness],
  };
  expect((await system().root.authz[0]!.verify(retry, timely)).code).not.toBe(DecisionCode.VALID);
});

test("the same call twice in one batch under one request id is charged once", async () => {
  const { key, id } = made.subaccounts[1]!;
  const request = { key: key.secret, requestId: "twice in one batch" };
  const { responses } = await system().root.authz[0]!.batchVerify({ requests: [request, request] }, timely);
  expect(responses.map(({ code }) => code)).toEqual([DecisionCode.VALID, DecisionCode.VALID]);
  expect(new Set(responses.map(({ decisionId }) => decisionId)).size).toBe(1);
  expect(id).toBe(responses[1]!.accountId);
});
