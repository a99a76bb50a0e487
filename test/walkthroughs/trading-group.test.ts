import { reasonOf } from "@gatehouse/client";
import { DecisionCode } from "@gatehouse/proto/authz";
import { KeyKind, PlanFeature, SigningAlgorithm } from "@gatehouse/proto/identity";
import { beforeAll, describe, expect, it } from "vitest";
import { until } from "../system/until.ts";
import { useProvider } from "./provider.ts";
import { type PayloadRequest, type PayloadSigner, signPayload, verifyPayload } from "./signed-payload.ts";

const provider = useProvider();

beforeAll(async () => {
  const { types, terms, plans, catalog } = provider.root();
  await types.createType({ name: "exchange", title: "Exchange", open: true, scopeCeiling: ["!custody.**"] });
  await types.createType({ name: "custody", title: "Custody", scopeCeiling: ["custody.**", "gatehouse.**"] });
  await terms.createTerms({ document: "group-terms", version: "1", gates: ["orders.**", "custody.**"] });
  await plans.createPlan({
    name: "group",
    accounts: 4n,
    features: [PlanFeature.SCOPING, PlanFeature.SIGNING],
  });
  await catalog.createApi({
    name: "exchange",
    title: "Exchange",
    endpoints: [
      {
        name: "new-order",
        title: "New order",
        method: "POST",
        path: "/v1/order/new",
        resource: "orders.create",
      },
    ],
  });
});

/** What the exchange's gateway decides about a request as it came. */
async function called(request: PayloadRequest): Promise<string> {
  const call = verifyPayload(request, "sha384");
  return call === "bad request" ? call : provider.decide(call);
}

/** A group with its master key, which has accepted the terms. */
async function group(name: string) {
  const made = await provider.root().accounts.createAccount({ name, plan: "group" });
  const master = provider.as(made.secret);
  await master.accounts.acceptTerms({ document: "group-terms", version: "1" });
  return { account: made.account!, secret: made.secret, master };
}

function reason(call: Promise<unknown>): Promise<string | undefined> {
  return call.then(
    () => "OK",
    (error: unknown) => reasonOf(error).reason,
  );
}

describe("a trading group", () => {
  it("a master key acts on any account by naming it; an account key names none and sees no sibling", async () => {
    const { secret, master } = await group("Alpha");
    const main = await master.accounts.createAccount({ name: "Main desk", type: "exchange" });
    const other = await master.accounts.createAccount({ name: "Other desk", type: "exchange" });
    expect([main.account!.slug, other.account!.slug]).toEqual(["main-desk", "other-desk"]);
    const order = { resource: "orders.create" };
    expect(await provider.decide({ key: secret, account: "main-desk", ...order })).toBe("VALID");
    expect(await provider.decide({ key: secret, ...order })).toBe("VALID");
    expect(await provider.decide({ key: secret, account: "no-desk", ...order })).toBe("TARGET_NOT_FOUND");
    expect(await provider.decide({ key: main.secret, ...order })).toBe("VALID");
    expect(await provider.decide({ key: main.secret, account: "other-desk", ...order })).toBe(
      "TARGET_NOT_FOUND",
    );
    const desk = provider.as(main.secret);
    expect(await reason(desk.accounts.getAccount({ account: "other-desk" }))).toBe("NOT_FOUND");
  });

  it("roles tell apart who creates accounts, moves funds, trades and looks", async () => {
    const { master } = await group("Roles");
    await master.roles.createRole({ name: "trader", scopes: ["orders.**", "balances.read"] });
    const key = async (role: string) => {
      const { secret } = await master.keys.createKey({ name: role, kind: KeyKind.MASTER, roles: [role] });
      return { secret, as: provider.as(secret) };
    };
    const administrator = await key("administrator");
    const trader = await key("trader");
    const auditor = await key("auditor");
    expect(await reason(administrator.as.accounts.createAccount({ name: "Desk", type: "exchange" }))).toBe(
      "OK",
    );
    expect(await reason(auditor.as.accounts.createAccount({ name: "Desk 2", type: "exchange" }))).toBe(
      "SCOPE_DENIED",
    );
    expect(await reason(auditor.as.accounts.listAccounts({}))).toBe("OK");
    expect(await reason(trader.as.accounts.listAccounts({}))).toBe("SCOPE_DENIED");
    const order = { resource: "orders.create", account: "desk" };
    expect(await provider.decide({ key: trader.secret, ...order })).toBe("VALID");
    expect(await provider.decide({ key: auditor.secret, ...order })).toBe("SCOPE_DENIED");
    expect(await provider.decide({ key: administrator.secret, ...order })).toBe("SCOPE_DENIED");

    // A role means at once what it is changed to, for every key that has it.
    const { freshness } = await master.roles.updateRole({ role: "trader", scopes: ["balances.read"] });
    expect(await provider.decide({ key: trader.secret, ...order }, freshness)).toBe("SCOPE_DENIED");
  });

  it("requests are signed over their payload, which names the account, and each is taken once", async () => {
    const { account, master } = await group("Signed");
    const desk = await master.accounts.createAccount({ name: "Main desk", type: "exchange" });
    const signing = { algorithm: SigningAlgorithm.HMAC_SHA384 };
    const signer = async (of: object): Promise<PayloadSigner> => {
      const { key, secret } = await master.keys.createKey({ roles: ["developer"], signing, ...of });
      return { id: key!.id, secret, hash: "sha384" };
    };
    const groupBot = await signer({ name: "group bot", kind: KeyKind.MASTER });
    const bot = await signer({ name: "desk bot", account: "main-desk" });
    const order = (by: PayloadSigner, more?: object) => signPayload(by, "/v1/order/new", more);

    const call = verifyPayload(order(groupBot, { account: "main-desk" }), "sha384");
    const { code, accountId } = await provider.root().authz.verify(call as Exclude<typeof call, string>);
    expect([code, accountId]).toEqual([DecisionCode.VALID, desk.account!.id]);
    expect(await called(order(groupBot))).toBe("VALID");
    expect(await called(order(groupBot, { account: "no-desk" }))).toBe("TARGET_NOT_FOUND");
    expect(await called(order(bot, { account: account.slug }))).toBe("TARGET_NOT_FOUND");

    // Nonces that arrive out of order are no trouble: clients of one key need not take turns.
    const [first, second] = [order(bot), order(bot)];
    expect([await called(second), await called(first)]).toEqual(["VALID", "VALID"]);
    expect([await called(second), await called(first)]).toEqual(["REPLAYED", "REPLAYED"]);

    const stolen = order(groupBot, { account: "main-desk" });
    const { payload } = order(bot, { account: "main-desk" }).headers;
    expect(await called({ ...stolen, headers: { ...stolen.headers, payload } })).toBe("SIGNATURE_INVALID");
    expect(await called({ ...stolen, path: "/v1/withdraw" })).toBe("bad request");
    expect(await called(stolen)).toBe("VALID");

    const { signed } = verifyPayload(order(bot), "sha384") as { signed: object };
    expect((await provider.root().authz.heartbeat({ signed })).code).toBe(DecisionCode.VALID);
  });

  it("a type that is not open needs enabling, and brings rules of its own", async () => {
    const { account, master } = await group("Types");
    const custody = { name: "Vault", type: "custody" };
    expect(await reason(master.accounts.createAccount(custody))).toBe("TYPE_NOT_ENABLED");
    expect(await reason(master.accounts.enableType({ account: account.id, type: "custody" }))).toBe(
      "OWN_CEILING",
    );
    await provider.root().accounts.enableType({ account: account.id, type: "custody" });
    const vault = await master.accounts.createAccount(custody);
    expect(await provider.decide({ key: vault.secret, resource: "custody.hold" })).toBe("VALID");
    expect(await provider.decide({ key: vault.secret, resource: "orders.create" })).toBe("SCOPE_DENIED");
    const desk = await master.accounts.createAccount({ name: "Desk", type: "exchange" });
    expect(await provider.decide({ key: desk.secret, resource: "orders.create" })).toBe("VALID");
    expect(await provider.decide({ key: desk.secret, resource: "custody.hold" })).toBe("SCOPE_DENIED");
  });

  it("terms are accepted once for the group, and gate what the provider says", async () => {
    const made = await provider.root().accounts.createAccount({ name: "Undecided", plan: "group" });
    const master = provider.as(made.secret);
    const desk = await master.accounts.createAccount({ name: "Desk", type: "exchange" });
    const order = { key: desk.secret, resource: "orders.create" };
    expect(await provider.decide(order)).toBe("TERMS_REQUIRED");
    expect(await provider.decide({ key: desk.secret, resource: "balances.read" })).toBe("VALID");
    const { freshness } = await master.accounts.acceptTerms({ document: "group-terms", version: "1" });
    expect(await provider.decide(order, freshness)).toBe("VALID");
  });

  it("an account is renamed, and its old name goes on naming it", async () => {
    const { secret, master } = await group("Names");
    await master.accounts.createAccount({ name: "First", type: "exchange" });
    const { account, freshness } = await master.accounts.renameAccount({
      account: "first",
      name: "Second",
      slug: "second",
    });
    expect(account).toMatchObject({ name: "Second", slug: "second" });
    for (const name of ["first", "second"]) {
      expect((await master.accounts.getAccount({ account: name })).account!.id).toBe(account!.id);
      const call = { key: secret, account: name, resource: "orders.create" };
      expect(await provider.decide(call, freshness)).toBe("VALID");
    }
    expect(await reason(master.accounts.createAccount({ name: "First", slug: "first" }))).toBe("SLUG_TAKEN");
  });

  it("money moves inside the group, both ways, once, and is listed for whoever reconciles it", async () => {
    const { account, master } = await group("Funds");
    const desk = await master.accounts.createAccount({ name: "Desk", type: "exchange" });
    const key = async (role: string) => {
      const { secret } = await master.keys.createKey({ name: role, kind: KeyKind.MASTER, roles: [role] });
      return provider.as(secret);
    };
    const [funds, auditor] = [await key("fund-manager"), await key("auditor")];
    const money = { currency: "USD" };
    await provider.root().credits.topUp({ account: account.id, amount: 100n, ...money, reference: "wire" });
    const order = { from: account.slug, to: "desk", amount: 60n, ...money, idempotencyKey: "monday" };
    const { transaction } = await funds.credits.transfer(order);
    expect((await funds.credits.transfer(order)).transaction!.id).toBe(transaction!.id);
    expect(await reason(funds.credits.transfer({ ...order, amount: 61n }))).toBe("IDEMPOTENCY_MISMATCH");
    await funds.credits.transfer({ from: "desk", to: account.slug, amount: 10n, ...money });

    const elsewhere = await group("Elsewhere");
    const out = { from: "desk", to: elsewhere.account.id, amount: 1n, ...money };
    expect(await reason(funds.credits.transfer(out))).toBe("NOT_FOUND");
    expect(await reason(funds.credits.transfer({ ...out, to: account.slug, amount: 51n }))).toBe(
      "CREDIT_EXHAUSTED",
    );
    expect(await reason(auditor.credits.transfer({ ...out, to: account.slug }))).toBe("SCOPE_DENIED");

    const { balances } = await auditor.credits.listBalances({ descendants: true });
    expect(balances.map(({ accountId, amount }) => [accountId, amount])).toEqual([
      [account.id, 50n],
      [desk.account!.id, 50n],
    ]);
    const entries = async (request: object) => {
      const { transactions } = await auditor.credits.listTransactions(request);
      return transactions.map(({ accountId, amount }) => [
        accountId === account.id ? "group" : "desk",
        amount,
      ]);
    };
    expect(await entries({ account: "desk" })).toEqual([
      ["desk", -10n],
      ["desk", 60n],
    ]);
    const all = await entries({ descendants: true });
    expect(all).toHaveLength(5);
    expect(all.reduce((sum, [, amount]) => sum + (amount as bigint), 0n)).toBe(100n);
  });

  it("a capped transfer bounds what an experiment loses, and a noisy desk slows no other", async () => {
    const { account, master } = await group("Lab");
    const [lab, main] = [
      await master.accounts.createAccount({ name: "Experiment", type: "exchange" }),
      await master.accounts.createAccount({ name: "Main", type: "exchange" }),
    ];
    const { meters, credits } = provider.root();
    await meters.createMeter({ name: "fills" });
    const priced = await credits.setPrice({ meter: "fills", currency: "USD", price: 10n });
    await credits.topUp({ account: account.id, amount: 100n, currency: "USD" });
    const capped = { from: account.id, to: "experiment", amount: 30n, currency: "USD" };
    const { freshness } = await master.credits.transfer(capped);
    const fill = () =>
      provider.decide(
        { key: lab.secret, charges: [{ meter: "fills", units: 1n }], resource: "orders.create" },
        priced.freshness,
        freshness,
      );
    expect([await fill(), await fill(), await fill()]).toEqual(["VALID", "VALID", "VALID"]);
    expect(await fill()).toBe("CREDIT_EXHAUSTED");
    const { balance } = await master.credits.getBalance({ currency: "USD" });
    expect(balance!.amount).toBe(70n);

    const limited = await master.limits.setLimit({
      node: { case: "account", value: "experiment" },
      allowance: { case: "rate", value: { units: 2n, interval: { seconds: 3600n } } },
    });
    const order = (key: string) => provider.decide({ key, resource: "orders.create" }, limited.freshness);
    expect([await order(lab.secret), await order(lab.secret)]).toEqual(["VALID", "VALID"]);
    expect(await order(lab.secret)).toBe("RATE_LIMITED");
    expect(await order(main.secret)).toBe("VALID");
  });

  it("a key that must beat is told of when it falls silent, and any message is a beat", async () => {
    const { account, master } = await group("Beats");
    const { key, secret } = await master.keys.createKey({
      name: "market maker",
      roles: ["developer"],
      requireHeartbeat: true,
      heartbeatTimeout: { seconds: 1n },
    });
    const beat = await provider.root().authz.heartbeat({ key: secret });
    expect(beat).toMatchObject({ code: DecisionCode.VALID, keyId: key!.id, accountId: account.id });
    await until("its last use shows", async () => {
      const { key: now } = await master.keys.getKey({ key: key!.id });
      return now!.lastUsedAt !== undefined;
    });
    // A backend that hears it cancels what the key has open.
    const { organization_id } = await provider.told("key.silent", key!.id);
    expect(organization_id).toBe(account.id);
  });

  it("there are as many accounts as the plan has, listed in pages", async () => {
    const { master } = await group("Many");
    for (let n = 1; n <= 4; n++) await master.accounts.createAccount({ name: `Desk ${n}`, type: "exchange" });
    expect(await reason(master.accounts.createAccount({ name: "Desk 5", type: "exchange" }))).toBe(
      "PLAN_LIMIT",
    );
    const first = await master.accounts.listAccounts({ pageSize: 3 });
    const second = await master.accounts.listAccounts({ pageSize: 3, pageToken: first.nextPageToken });
    expect([...first.accounts, ...second.accounts].map(({ name }) => name)).toEqual([
      "Desk 1",
      "Desk 2",
      "Desk 3",
      "Desk 4",
    ]);
    expect(await reason(master.accounts.listAccounts({ pageSize: 501 }))).toBe("INVALID_FIELD");
  });
});
