import { type Gatehouse, reasonOf } from "@gatehouse/client";
import { type Key, KeyStatus, PlanFeature, SigningAlgorithm } from "@gatehouse/proto/identity";
import { beforeAll, describe, expect, it } from "vitest";
import { until } from "../system/until.ts";
import { useProvider } from "./provider.ts";
import { type PayloadRequest, type PayloadSigner, signPayload, verifyPayload } from "./signed-payload.ts";

const provider = useProvider();
const KEYS = 3;

beforeAll(async () => {
  const { plans, catalog } = provider.root();
  await plans.createPlan({
    name: "exchange",
    keysPerAccount: BigInt(KEYS),
    features: [PlanFeature.SCOPING, PlanFeature.SIGNING],
  });
  await catalog.createApi({
    name: "trade",
    title: "Trade",
    endpoints: [
      {
        name: "balance",
        title: "Trade balance",
        method: "POST",
        path: "/api/v4/trade-account/balance",
        resource: "balance.read",
      },
      {
        name: "order-new",
        title: "New order",
        method: "POST",
        path: "/api/v4/order/new",
        resource: "orders.create",
      },
    ],
  });
});

async function exchangeUser(name: string) {
  const made = await provider.root().accounts.createAccount({ name, plan: "exchange" });
  const main = provider.as(made.secret);
  await main.accounts.createAccount({ name: "Sub one" });
  await main.accounts.createAccount({ name: "Sub two" });
  return main;
}

/** What the exchange's own API shows of a key. */
function shown(key: Key) {
  return {
    id: key.id,
    title: key.name,
    isEnabled: key.status === KeyStatus.ENABLED,
    lastActivity: key.lastUsedAt === undefined ? null : Number(key.lastUsedAt.seconds),
    restrictAccess: key.endpoints.length > 0,
    accessEndpoints: key.endpoints.map(({ name, title }) => ({ name, title })),
    ips: key.ipAllow,
  };
}

/** 400 with a map of fields to messages, as the exchange's clients expect. */
function messages(error: unknown): Record<string, string[]> {
  const { violations } = reasonOf(error);
  return Object.fromEntries(
    violations.map(({ field }) => [
      field,
      violations.filter((each) => each.field === field).map(({ description }) => description),
    ]),
  );
}

function keyOf(main: Gatehouse, account: string, name: string, more: object = {}) {
  return main.keys.createKey({ account, name, roles: ["developer"], ...more });
}

describe("keys of a subaccount", () => {
  it("have a title, what they may call, and whether they are enabled", async () => {
    const main = await exchangeUser("Trader");
    const { key, secret } = await keyOf(main, "sub-one", "Grid bot", {
      endpoints: ["balance"],
      ipAllow: ["192.0.2.7"],
    });
    expect(shown(key!)).toEqual({
      id: key!.id,
      title: "Grid bot",
      isEnabled: true,
      lastActivity: null,
      restrictAccess: true,
      accessEndpoints: [{ name: "balance", title: "Trade balance" }],
      ips: [expect.stringContaining("192.0.2.7")],
    });
    const http = { method: "POST", path: "/api/v4/trade-account/balance" };
    expect(await provider.decide({ key: secret, http, clientIp: "192.0.2.7" })).toBe("VALID");
    expect(await provider.decide({ key: secret, http, clientIp: "192.0.2.8" })).toBe("ADDRESS_DENIED");
    expect(await provider.decide({ key: secret, http })).toBe("ADDRESS_DENIED");
    const order = { method: "POST", path: "/api/v4/order/new" };
    expect(await provider.decide({ key: secret, http: order, clientIp: "192.0.2.7" })).toBe("SCOPE_DENIED");
    await until("the last activity shows", async () => {
      const { key: now } = await main.keys.getKey({ key: key!.id });
      return shown(now!).lastActivity !== null;
    });

    const { key: disabled } = await main.keys.disableKey({ key: key!.id });
    expect(shown(disabled!).isEnabled).toBe(false);
  });

  it("are counted for each subaccount on its own", async () => {
    const main = await exchangeUser("Counted");
    // The first key came with the account.
    for (let n = 2; n <= KEYS; n++) await keyOf(main, "sub-one", `key ${n}`);
    const reason = await keyOf(main, "sub-one", "too many").catch((error: unknown) => reasonOf(error).reason);
    expect(reason).toBe("PLAN_LIMIT");
    await keyOf(main, "sub-two", "independent");
    await main.keys.createKey({ name: "of the main account", roles: ["developer"] });
  });

  it("are signed with, and the secret to sign with is shown once", async () => {
    const main = await exchangeUser("Signer");
    const { key, secret } = await keyOf(main, "sub-one", "signing", {
      signing: { algorithm: SigningAlgorithm.HMAC_SHA512 },
    });
    expect(secret.length).toBeGreaterThanOrEqual(43);
    expect(key!.signing).toMatchObject({ algorithm: SigningAlgorithm.HMAC_SHA512, publicKey: "" });
    // It is no key to present: what is signed with never goes over the wire.
    expect(await provider.decide({ key: secret })).toBe("NOT_FOUND");
  });

  it("sign the body of each call, which is taken once and for the endpoints of the key", async () => {
    const main = await exchangeUser("Signed calls");
    const { key, secret } = await keyOf(main, "sub-one", "balances", {
      endpoints: ["balance"],
      ipAllow: ["192.0.2.7"],
      signing: { algorithm: SigningAlgorithm.HMAC_SHA512, strictReplay: true },
    });
    const bot: PayloadSigner = { id: key!.id, secret, hash: "sha512" };
    const called = async (request: PayloadRequest, clientIp = "192.0.2.7") => {
      const call = verifyPayload(request, "sha512");
      return call === "bad request" ? call : provider.decide({ ...call, clientIp });
    };
    const balance = signPayload(bot, "/api/v4/trade-account/balance", { ticker: "BTC" });
    expect(await called(balance, "192.0.2.8")).toBe("ADDRESS_DENIED");
    expect(await called(balance)).toBe("VALID");
    expect(await called(balance)).toBe("REPLAYED");
    expect(await called(signPayload(bot, "/api/v4/order/new"))).toBe("SCOPE_DENIED");
    const { signature } = signPayload({ ...bot, secret: "guessed" }, balance.path).headers;
    const next = signPayload(bot, balance.path);
    expect(await called({ ...next, headers: { ...next.headers, signature } })).toBe("SIGNATURE_INVALID");

    const { freshness } = await main.keys.disableKey({ key: key!.id });
    const call = verifyPayload(next, "sha512");
    expect(await provider.decide(call as Exclude<typeof call, string>, freshness)).toBe("DISABLED");
  });

  it("bad input names its fields", async () => {
    const main = await exchangeUser("Sloppy");
    const bad = { endpoints: ["balance", "nothing"], ipAllow: ["300.1.1.1"] };
    const addresses = await keyOf(main, "sub-one", "", bad).catch(messages);
    expect(Object.keys(addresses).sort()).toEqual(expect.arrayContaining(["ip_allow[0]", "name"]));
    const endpoints = await keyOf(main, "sub-one", "fine", { endpoints: ["nothing"] }).catch(messages);
    expect(Object.keys(endpoints)).toEqual(["endpoints[0]"]);
    const many = Array.from({ length: 51 }, (_, n) => `192.0.2.${n}`);
    expect(Object.keys(await keyOf(main, "sub-one", "fine", { ipAllow: many }).catch(messages))).toEqual([
      "ip_allow",
    ]);
  });
});
