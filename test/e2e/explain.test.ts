import { isDeepStrictEqual } from "node:util";
import { mintId } from "@gatehouse/keys";
import { CheckOutcome, DecisionCode, type ExplainResponse } from "@gatehouse/proto/authz";
import { Enforcement, Window } from "@gatehouse/proto/metering";
import { beforeAll, expect, test } from "vitest";
import { type Caller, timely } from "../system/caller.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

/*
 * Explain says what the same Verify is then answered, on real processes, and the numbers of its buckets are those of
 * GetAllowance.
 */

const system = useSystem({ replicas: [{}, {}] });

let made = 0;
async function organization(): Promise<Organization> {
  return makeOrganization(system(), `Acme ${++made}`, ["Team"]);
}

const month = (units: number) => ({
  case: "quota" as const,
  value: { units: BigInt(units), window: Window.MONTH },
});
// So slow that nothing comes back while a test runs.
const slowRate = (burst: number) => ({
  case: "rate" as const,
  value: { units: 1n, interval: { seconds: 86_400n, nanos: 0 }, burst: BigInt(burst) },
});

async function limit(
  node: { case: "account" | "key"; value: string },
  allowance: ReturnType<typeof month> | ReturnType<typeof slowRate>,
  enforcement = Enforcement.ENFORCE,
) {
  const { root } = system();
  const answer = await root.limits.setLimit({ node, allowance, enforcement }, timely);
  return answer.limit!.id;
}

const charge = (units: number) => [{ meter: "requests", units: BigInt(units) }];

async function both(verifier: Caller, request: object, replica = 0) {
  const explained = await verifier.authz[replica]!.explain(request, timely);
  const verified = await verifier.authz[replica]!.verify(request, timely);
  return { explained, verified };
}

const outcomes = ({ checks }: ExplainResponse) =>
  checks.filter(({ outcome }) => outcome === CheckOutcome.FAILED).map(({ code }) => DecisionCode[code]);

test("the buckets of key, account and organization have the numbers of GetAllowance", async () => {
  const acme = await organization();
  const team = acme.subaccounts[0]!;
  const limitIds = [
    await limit({ case: "key", value: team.key.id }, slowRate(50)),
    await limit({ case: "account", value: team.id }, month(100)),
    await limit({ case: "account", value: acme.id }, month(1000)),
  ];
  const { root } = system();
  for (let i = 0; i < 5; i++) {
    const { code } = await root.authz[0]!.verify({ key: team.key.secret, charges: charge(2) }, timely);
    expect(DecisionCode[code]).toBe("VALID");
  }
  // Once what was spent is booked, both know the same.
  await until("what was spent is booked", async () => {
    const explained = await root.authz[0]!.explain({ key: team.key.secret }, timely);
    const node = { case: "key" as const, value: team.key.id };
    const { allowances } = await root.limits.getAllowance({ node }, timely);
    const [told, known] = [
      explained.buckets.map(({ limitId, used, leased, remaining }) => [limitId, used, leased, remaining]),
      allowances.map(({ limit, used, leased, remaining }) => [limit!.id, used, leased, remaining]),
    ];
    return allowances.every(({ used }) => used === 10n) && isDeepStrictEqual(told, known);
  });
  const explained = await root.authz[0]!.explain({ key: team.key.secret, charges: charge(7) }, timely);
  expect(explained.buckets.map(({ limitId }) => limitId)).toEqual(limitIds);
  expect(explained.buckets.map(({ nodeId }) => nodeId)).toEqual([team.key.id, team.id, acme.id]);
  const capacities = explained.buckets.map(({ used, leased, remaining }) => used + leased + remaining);
  expect(capacities).toEqual([50n, 100n, 1000n]);
  for (const { units, used, leased, held, outcome } of explained.buckets) {
    // Nobody else draws on them: what is lent is in hand here.
    expect([units, used, held, outcome]).toEqual([7n, 10n, leased, CheckOutcome.PASSED]);
  }
  expect(DecisionCode[explained.code]).toBe("VALID");
});

test("it agrees with Verify down to the last unit, whichever bucket it is that runs out", async () => {
  for (const [units, expected] of [
    [{ key: 7, team: 20, acme: 50 }, "RATE_LIMITED"],
    [{ key: 20, team: 7, acme: 50 }, "QUOTA_EXCEEDED"],
    [{ key: 50, team: 20, acme: 7 }, "QUOTA_EXCEEDED"],
  ] as const) {
    const acme = await organization();
    const team = acme.subaccounts[0]!;
    const limits = {
      key: await limit({ case: "key", value: team.key.id }, slowRate(units.key)),
      team: await limit({ case: "account", value: team.id }, month(units.team)),
      acme: await limit({ case: "account", value: acme.id }, month(units.acme)),
    };
    // One that only warns never decides, however empty.
    await limit({ case: "key", value: team.key.id }, month(1), Enforcement.WARN);
    const codes: string[] = [];
    for (let i = 0; i < 5; i++) {
      const { explained, verified } = await both(system().root, {
        key: team.key.secret,
        charges: charge(2),
      });
      expect(DecisionCode[explained.code]).toBe(DecisionCode[verified.code]);
      codes.push(DecisionCode[verified.code]!);
      if (verified.code === DecisionCode.VALID) continue;
      const [scarce] = Object.entries(units).find(([, each]) => each === 7)!;
      expect(explained.decidedBy).toBe(limits[scarce as keyof typeof limits]);
      expect(explained.decision!.bindingLimit!.limitId).toBe(verified.bindingLimit!.limitId);
      expect(explained.decision!.bindingLimit!.remaining).toBe(verified.bindingLimit!.remaining);
      // One unit is left, and Explain has taken none of it.
      expect(verified.bindingLimit!.remaining).toBe(1n);
    }
    expect(codes).toEqual(["VALID", "VALID", "VALID", expected, expected]);
    const last = await both(system().root, { key: team.key.secret, charges: charge(1) });
    expect([last.explained, last.verified].map(({ code }) => DecisionCode[code])).toEqual(["VALID", "VALID"]);
  }
});

test("units that another replica has in hand are there to be had", async () => {
  const acme = await organization();
  const limitId = await limit({ case: "account", value: acme.id }, month(10));
  const [first, second] = system().root.authz;
  const { secret } = acme.key;
  expect((await first!.verify({ key: secret }, timely)).code).toBe(DecisionCode.VALID);
  const explained = await second!.explain({ key: secret, charges: charge(9) }, timely);
  const bucket = explained.buckets.find((each) => each.limitId === limitId)!;
  expect(bucket).toMatchObject({ held: 0n, outcome: CheckOutcome.PASSED });
  expect(bucket.leased).toBeGreaterThan(0n);
  const beyond = await second!.explain({ key: secret, charges: charge(11) }, timely);
  expect(beyond).toMatchObject({ code: DecisionCode.QUOTA_EXCEEDED, decidedBy: limitId });
});

test("it agrees with Verify on what the checks say, and names the one that decided", async () => {
  const acme = await organization();
  const { master, subaccounts } = acme;
  const [team] = subaccounts as [(typeof subaccounts)[number]];
  const { root } = system();
  const makeKey = async (init: object) => {
    const made = await master.keys.createKey({ account: team.id, scopes: ["**"], ...init }, timely);
    return { key: made.secret, atLeastAsFresh: [made.freshness], id: made.key!.id };
  };
  const office = await makeKey({ name: "office", ipAllow: ["198.51.100.0/24"] });
  const reader = await makeKey({ name: "reader", scopes: ["weather.*", "!weather.write"] });
  const off = await makeKey({ name: "off" });
  const disabled = await master.keys.disableKey({ key: off.id }, timely);
  const gone = await makeKey({ name: "gone" });
  const revoked = await master.keys.revokeKey({ key: gone.id }, timely);

  for (const [request, expected, detail] of [
    [{ ...office, clientIp: "198.51.100.7" }, "VALID", ""],
    [{ ...office, clientIp: "192.0.2.1" }, "ADDRESS_DENIED", "198.51.100.0/24"],
    [office, "ADDRESS_DENIED", "not known"],
    [{ ...reader, resource: "weather.read" }, "VALID", ""],
    [{ ...reader, resource: "weather.write" }, "SCOPE_DENIED", "denied by !weather.write in its own scopes"],
    [{ ...reader, resource: "orders.read" }, "SCOPE_DENIED", "nothing in its roles and scopes"],
    [{ ...reader, http: { method: "GET", path: "/nowhere" } }, "SCOPE_DENIED", "no endpoint"],
    [{ ...reader, account: acme.id }, "TARGET_NOT_FOUND", "its own account only"],
    [{ ...off, atLeastAsFresh: [disabled.freshness] }, "DISABLED", '"off" is disabled'],
    [{ ...gone, atLeastAsFresh: [revoked.freshness] }, "NOT_FOUND", '"gone" was revoked'],
  ] as const) {
    const { id: _, ...asked } = request;
    const { explained, verified } = await both(root, asked);
    expect(DecisionCode[verified.code], JSON.stringify(asked)).toBe(expected);
    expect(DecisionCode[explained.code]).toBe(expected);
    expect(outcomes(explained)).toEqual(expected === "VALID" ? [] : [expected]);
    expect(explained.decidedBy).toBe(expected === "VALID" ? "" : expected);
    const failed = explained.checks.find(({ outcome }) => outcome === CheckOutcome.FAILED);
    expect(failed?.detail ?? "").toContain(detail);
    expect(explained.decision).toMatchObject({ decisionId: "", keyId: verified.keyId, code: verified.code });
  }
});

let acme: Organization;
let other: Organization;
beforeAll(async () => {
  [acme, other] = await Promise.all([organization(), organization()]);
}, 60_000);

test("of a foreign key an organization's verifier is told what it is told of none", async () => {
  const explain = async (key: string) => {
    const { status, text } = await system().json(acme.key.secret, "authz.v1.AuthzService/Explain", { key });
    // How old the state behind it is differs from call to call.
    return { status, text: text.replace(/"staleness":"[^"]*"/g, '"staleness":""') };
  };
  const { secret } = other.subaccounts[0]!.key;
  const none = `${secret.slice(0, -1)}${secret.endsWith("A") ? "B" : "A"}`;
  const foreign = await explain(secret);
  expect(foreign).toEqual(await explain(none));
  expect(JSON.parse(foreign.text)).toMatchObject({
    code: "DECISION_CODE_NOT_FOUND",
    buckets: [],
    checks: [{ code: "DECISION_CODE_NOT_FOUND", nodeId: "" }],
  });
});

test("of a foreign account that a key names it is told what it is told of none", async () => {
  const explain = async (account: string) => {
    const body = { key: acme.key.secret, account };
    const { text } = await system().json(acme.key.secret, "authz.v1.AuthzService/Explain", body);
    return text.replace(/"staleness":"[^"]*"/g, '"staleness":""').replaceAll(account, "it");
  };
  const team = other.subaccounts[0]!;
  for (const [foreign, none] of [
    [team.id, mintId("acc")],
    [other.id, mintId("acc")],
    [other.slug, "no-such-name"],
    [`${other.slug}/${team.slug}`, "nowhere/no-such"],
  ] as const) {
    const told = await explain(foreign);
    expect(told).toEqual(await explain(none));
    expect(JSON.parse(told)).toMatchObject({ code: "DECISION_CODE_TARGET_NOT_FOUND" });
  }
  // Of the same name as that of the other organization, its own is another account.
  expect(JSON.parse(await explain(team.slug))).toMatchObject({ code: "DECISION_CODE_VALID" });
});

test("a subaccount's verifier is told that something above decided, and no numbers of it", async () => {
  const team = acme.subaccounts[0]!;
  const verifier = await acme.master.keys.createKey(
    { account: team.id, name: "verifier", scopes: ["gatehouse.verify"] },
    timely,
  );
  const own = await limit({ case: "account", value: team.id }, month(100));
  const above = await limit({ case: "account", value: acme.id }, month(3));
  const asked = { key: team.key.secret, charges: charge(4) };
  const seen = await system().as(verifier.secret).authz[0]!.explain(asked, timely);
  expect(seen).toMatchObject({ code: DecisionCode.QUOTA_EXCEEDED, decidedBy: "above" });
  expect(seen.buckets.map(({ limitId }) => limitId)).toEqual([own]);
  expect(seen.decision!.bindingLimit).toBeUndefined();
  const verified = await system().as(verifier.secret).authz[0]!.verify(asked, timely);
  expect(verified).toMatchObject({ code: DecisionCode.QUOTA_EXCEEDED });
  expect(verified.bindingLimit).toBeUndefined();
  expect((await acme.master.authz[0]!.verify(asked, timely)).bindingLimit).toMatchObject({ limitId: above });
  expect((await acme.master.authz[0]!.explain(asked, timely)).decidedBy).toBe(above);
});

test("more at once than is good for metering are turned away, with when to come again", async () => {
  const asked = { key: acme.key.secret };
  const all = Array.from({ length: 40 }, () => system().root.authz[0]!.explain(asked, timely));
  const answers = await Promise.allSettled(all);
  const refused = answers.filter(({ status }) => status === "rejected");
  expect(refused.length).toBeGreaterThan(0);
  expect(answers.length - refused.length).toBeGreaterThanOrEqual(4);
  for (const each of refused) {
    expect(each).toMatchObject({
      reason: { code: "RESOURCE_EXHAUSTED", reason: "OVERLOADED", retryAfterMs: 1000 },
    });
  }
  expect((await system().root.authz[0]!.explain(asked, timely)).code).not.toBe(DecisionCode.INDETERMINATE);
});
