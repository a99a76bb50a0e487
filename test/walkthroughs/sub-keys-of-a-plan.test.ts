import { reasonOf } from "@gatehouse/client";
import { KeyKind, KeyStatus, PlanFeature } from "@gatehouse/proto/identity";
import { GroupBy } from "@gatehouse/proto/metering";
import { beforeAll, describe, expect, it } from "vitest";
import { until } from "../system/until.ts";
import { useProvider } from "./provider.ts";

const provider = useProvider();

beforeAll(async () => {
  const { plans, catalog, integrations } = provider.root();
  const features = [PlanFeature.SUB_KEYS, PlanFeature.SCOPING];
  await plans.createPlan({ name: "starter", subKeysPerAccount: 0n });
  await plans.createPlan({ name: "pro", subKeysPerAccount: 5n, features });
  await plans.createPlan({ name: "mega", subKeysPerAccount: 25n, features });
  await catalog.createApi({
    name: "weather",
    title: "Weather",
    endpoints: [
      { name: "forecast", title: "Forecast", method: "GET", path: "/v1/weather", resource: "weather.read" },
    ],
    features: [{ name: "bulk", title: "Bulk calls", resource: "weather.bulk" }],
  });
  await integrations.createIntegration({ name: "zapier", title: "Zapier", deniedToSubKeys: true });
});

/** A customer on a plan, who holds the primary key. */
async function customer(plan: string) {
  const { account, key, secret } = await provider.root().accounts.createAccount({
    name: `On ${plan}`,
    plan,
    firstKey: { name: "primary", roles: ["administrator", "developer", "auditor"] },
  });
  return { account: account!, primary: key!, secret, as: provider.as(secret) };
}

const subKey = (name: string) => ({ name, kind: KeyKind.SUB });

function reason(call: Promise<unknown>): Promise<string | undefined> {
  return call.then(
    () => "OK",
    (error: unknown) => reasonOf(error).reason,
  );
}

describe("sub-keys of a plan", () => {
  it("there are as many as the plan has; inactive ones do not count, and the progress bar shows it", async () => {
    const { as, account } = await customer("pro");
    const made = [];
    for (let n = 1; n <= 5; n++) made.push(await as.keys.createKey(subKey(`bot ${n}`)));
    expect(await reason(as.keys.createKey(subKey("bot 6")))).toBe("PLAN_LIMIT");
    const used = async () => (await as.accounts.getPlanUsage({})).subKeys;
    expect(await used()).toMatchObject({ used: 5n, maximum: 5n });

    await as.keys.disableKey({ key: made[0]!.key!.id });
    expect(await used()).toMatchObject({ used: 4n });
    await as.keys.createKey(subKey("bot 6"));
    expect(await reason(as.keys.enableKey({ key: made[0]!.key!.id }))).toBe("PLAN_LIMIT");

    // An upgrade makes room; a downgrade takes nothing away, and lets nothing more in.
    await provider.root().accounts.updateAccount({ account: account.id, plan: "mega" });
    await as.keys.enableKey({ key: made[0]!.key!.id });
    expect(await used()).toMatchObject({ used: 6n, maximum: 25n });
    await provider.root().accounts.updateAccount({ account: account.id, plan: "pro" });
    expect(await used()).toMatchObject({ used: 6n, maximum: 5n });
    expect(await provider.decide({ key: made[5 - 1]!.secret, resource: "weather.read" })).toBe("VALID");
    expect(await reason(as.keys.createKey(subKey("bot 7")))).toBe("PLAN_LIMIT");
  });

  it("a plan without sub-keys has none", async () => {
    const { as } = await customer("starter");
    expect(await reason(as.keys.createKey(subKey("bot")))).toBe("PLAN_FEATURE");
  });

  it("names are unique in the account, and bounded", async () => {
    const { as } = await customer("pro");
    await as.keys.createKey(subKey("bot"));
    expect(await reason(as.keys.createKey(subKey("bot")))).toBe("NAME_TAKEN");
    expect(await reason(as.keys.createKey(subKey("bot/2")))).toBe("INVALID_FIELD");
    expect(await reason(as.keys.createKey(subKey("b".repeat(51))))).toBe("INVALID_FIELD");
  });

  it("scopes block some or allow only some, APIs and features alike, never wider than the primary's", async () => {
    const { as, primary } = await customer("pro");
    const blocked = await as.keys.createKey({ ...subKey("all but weather"), scopes: ["**", "!weather.**"] });
    expect(await provider.decide({ key: blocked.secret, resource: "maps.read" })).toBe("VALID");
    expect(await provider.decide({ key: blocked.secret, resource: "weather.read" })).toBe("SCOPE_DENIED");
    const only = await as.keys.createKey({ ...subKey("only reading"), scopes: ["weather.read"] });
    expect(await provider.decide({ key: only.secret, resource: "weather.bulk" })).toBe("SCOPE_DENIED");

    // Edited, at once; and narrowing the primary narrows what hangs below it.
    const edited = await as.keys.updateKey({ key: only.key!.id, name: "bulk too", scopes: ["weather.*"] });
    const bulk = { key: only.secret, resource: "weather.bulk" };
    expect(await provider.decide(bulk, edited.freshness)).toBe("VALID");
    const narrowed = await provider.root().keys.updateKey({
      key: primary.id,
      roles: [],
      scopes: ["weather.read"],
      updateMask: { paths: ["roles", "scopes"] },
    });
    expect(await provider.decide(bulk, narrowed.freshness)).toBe("SCOPE_DENIED");
    expect(await provider.decide({ key: only.secret, resource: "weather.read" })).toBe("VALID");
  });

  it("a sub-key is held to endpoints that it names, shown with their titles", async () => {
    const { as } = await customer("pro");
    const { key, secret } = await as.keys.createKey({ ...subKey("forecast only"), endpoints: ["forecast"] });
    expect(key!.endpoints).toMatchObject([{ name: "forecast", title: "Forecast" }]);
    const http = (method: string, path: string) => ({ key: secret, http: { method, path } });
    expect(await provider.decide(http("GET", "/v1/weather?q=berlin"))).toBe("VALID");
    expect(await provider.decide(http("POST", "/v1/weather"))).toBe("SCOPE_DENIED");
    expect(await provider.decide({ key: secret, resource: "maps.read" })).toBe("SCOPE_DENIED");
  });

  it("deactivated it is refused until it is activated; deleted at once and for good, and its slot is free", async () => {
    const { as } = await customer("pro");
    const { key, secret } = await as.keys.createKey(subKey("bot"));
    const call = { key: secret, resource: "weather.read" };
    const disabled = await as.keys.disableKey({ key: key!.id });
    expect(await provider.decide(call, disabled.freshness)).toBe("DISABLED");
    const enabled = await as.keys.enableKey({ key: key!.id });
    expect(await provider.decide(call, enabled.freshness)).toBe("VALID");
    const revoked = await as.keys.revokeKey({ key: key!.id });
    expect(await provider.decide(call, revoked.freshness)).toBe("NOT_FOUND");
    await as.keys.createKey(subKey("bot"));
    const { keys } = await as.keys.listKeys({ kind: KeyKind.SUB });
    expect(keys.map(({ status }) => status)).toEqual([KeyStatus.ENABLED]);
  });

  it("sub-keys make no sub-keys, and stop with the subscription", async () => {
    const { as, account } = await customer("pro");
    const { secret } = await as.keys.createKey({ ...subKey("bot"), scopes: ["**"] });
    expect(await reason(provider.as(secret).keys.createKey(subKey("more")))).toBe("KEY_KIND_DENIED");
    const reasonGiven = "SUBSCRIPTION_INACTIVE";
    const { freshness } = await provider
      .root()
      .accounts.suspendAccount({ account: account.id, reason: reasonGiven });
    expect(await provider.decide({ key: secret }, freshness)).toBe("ACCOUNT_SUSPENDED");
  });

  it("integrations that the provider lists refuse sub-keys, unless they are let in", async () => {
    const { as, secret: primary } = await customer("pro");
    const { key, secret } = await as.keys.createKey(subKey("bot"));
    expect(key!.deniedIntegrations).toEqual(["zapier"]);
    const through = (key: string, integration: string) => ({ key, resource: "weather.read", integration });
    expect(await provider.decide(through(secret, "zapier"))).toBe("INTEGRATION_DENIED");
    expect(await provider.decide(through(secret, "make"))).toBe("VALID");
    expect(await provider.decide(through(primary, "zapier"))).toBe("VALID");
    const let_ = await as.keys.updateKey({ key: key!.id, updateMask: { paths: ["denied_integrations"] } });
    expect(await provider.decide(through(secret, "zapier"), let_.freshness)).toBe("VALID");
  });

  it("usage sums over keys, and is filtered by key", async () => {
    const { as, primary, secret } = await customer("pro");
    const { key, secret: bot } = await as.keys.createKey(subKey("bot"));
    for (const each of [secret, bot, bot]) {
      expect(await provider.decide({ key: each, resource: "weather.read" })).toBe("VALID");
    }
    const units = async (query: object) => {
      const { rows } = await as.usage.queryUsage({ groupBy: [GroupBy.KEY], ...query });
      return new Map(rows.map(({ keyId, units }) => [keyId, units]));
    };
    const all = await until("the usage arrives", async () => {
      const found = await units({});
      return found.get(key!.id) === 2n && found;
    });
    expect(all.get(primary.id)).toBe(1n);
    expect([...(await units({ node: { case: "key", value: key!.id } }))]).toEqual([[key!.id, 2n]]);
  });
});
