import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { ChangeLog, openDatabase, type Tx } from "@gatehouse/changefeed";
import { AskResult_Outcome as Outcome, type SetPriceRequestSchema } from "@gatehouse/proto/metering";
import type { Failure } from "@gatehouse/service/failure";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import type { EntityManager } from "typeorm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { micros } from "../src/domain/money.ts";
import { PostgresCreditTermsStore } from "../src/storage/credit-terms-store.ts";
import { migrations } from "../src/storage/migrations.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 10_000;
const identity = new IdentityLog();
identity.change({
  ...identity.root,
  providerRules: { types: new Map([["trading", []]]), terms: [], importPrefixes: [] },
});
const organization = identity.change({ ...identity.account(identity.root, "acme"), plan: "gold" });
const team = identity.account(organization, "team");
const funds = ["fund-manager"];
const root = identity.key(identity.root, "MASTER", undefined, funds);
const master = identity.key(organization, "MASTER", undefined, funds);
const teams = identity.key(team, "MASTER", undefined, funds);
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  identity.meter("tokens");
  for (const plan of ["gold", "iron"]) identity.plan(plan, []);
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

const fieldsOf = (call: Promise<unknown>) =>
  call.then(
    () => [],
    ({ violations }: Failure) => violations.map(({ field }) => field),
  );
/** What followers were told of money since a revision. */
const changedNodes = async (since: number) =>
  (
    await metering.query<{ entity_id: string }>(
      `SELECT entity_id FROM change_log
       WHERE revision > $1 AND kind IN ('prices', 'wallets', 'balance-source')`,
      [since],
    )
  ).map(({ entity_id }) => entity_id);
const head = async () => (await metering.changeLog.head()).revision;
const auditOf = (action: string) =>
  metering.query<{ target_id: string; before: object; after: object; actor_key_id: string }>(
    "SELECT target_id, before, after, actor_key_id FROM audit_event WHERE action = $1 AND outcome = 'OK' ORDER BY id",
    [action],
  );

describe("a price", () => {
  type Request = MessageInitShape<typeof SetPriceRequestSchema>;
  const set = (request: Request = {}) =>
    metering
      .credits(root)
      .setPrice({ meter: "tokens", currency: "USD", price: 5n, ...request }, { timeoutMs });
  const list = (key: TestKey, request: object = {}) =>
    metering.credits(key).listPrices(request, { timeoutMs });

  test("is in force from now or later, and never earlier", async () => {
    const before = await head();
    const { price, freshness } = await set({ perUnits: 1_000_000n });
    expect(price).toMatchObject({ meter: "tokens", resource: "", price: 5n, perUnits: 1_000_000n });
    expect(Math.abs(timestampMs(price!.effectiveAt!) - Date.now())).toBeLessThan(5000);
    expect(freshness).not.toBe("");
    expect(await changedNodes(before)).toEqual(["@prices"]);
    const soon = Date.now() + 3_600_000;
    const { price: later } = await set({ effectiveAt: timestampFromMs(soon) });
    expect(timestampMs(later!.effectiveAt!)).toBe(soon);
    const past = timestampFromMs(Date.now() - 3_600_000);
    expect(await fieldsOf(set({ effectiveAt: past }))).toEqual(["effective_at"]);
    // A clock that is a little behind says now.
    const { price: now } = await set({ effectiveAt: timestampFromMs(Date.now() - 10_000) });
    expect(timestampMs(now!.effectiveAt!)).toBeGreaterThan(timestampMs(price!.effectiveAt!));
  });

  test("is listed latest first, for the provider every one and for others those that may be theirs", async () => {
    await set({ plan: "gold", price: 1n });
    await set({ plan: "iron", price: 2n });
    await set({ meter: "", accountType: "trading", price: 0n });
    const plans = async (key: TestKey, request = {}) =>
      (await list(key, request)).prices.map(({ plan }) => plan);
    expect((await plans(root)).slice(0, 3)).toEqual(["", "iron", "gold"]);
    expect(await plans(master)).not.toContain("iron");
    expect(await plans(teams)).toContain("gold");
    const ofRequests = await list(root, { meter: "requests" });
    expect(ofRequests.prices.map(({ accountType }) => accountType)).toEqual(["trading"]);
    const first = await list(root, { pageSize: 2 });
    const second = await list(root, { pageSize: 500, pageToken: first.nextPageToken });
    expect([...first.prices, ...second.prices]).toEqual((await list(root)).prices);
  });

  test("names every bad field at once", async () => {
    const bad = {
      meter: "none",
      resource: "!a",
      plan: "\0",
      accountType: "x".repeat(101),
      currency: "",
      price: -1n,
      perUnits: -1n,
      effectiveAt: { seconds: -1n, nanos: 0 },
    };
    expect(await fieldsOf(set(bad))).toEqual([
      "resource",
      "currency",
      "price",
      "per_units",
      "meter",
      "plan",
      "account_type",
      "effective_at",
    ]);
    const past = timestampFromMs(Date.now() - 3_600_000);
    const nowhere = { price: -1n, plan: "silver", accountType: "custody", effectiveAt: past };
    expect(await fieldsOf(set(nowhere))).toEqual(["price", "plan", "account_type", "effective_at"]);
    const much = { price: 10n ** 13n + 1n, perUnits: 10n ** 12n + 1n };
    expect(await fieldsOf(set(much))).toEqual(["price", "per_units"]);
  });

  test("is one of a hundred of its terms at most that are to begin", async () => {
    const terms = { resource: "bounded", price: 10n ** 13n, perUnits: 10n ** 12n };
    const inAnHour = Date.now() + 3_600_000;
    for (let i = 0; i < 100; i++) await set({ ...terms, effectiveAt: timestampFromMs(inAnHour + i) });
    await expect(set(terms)).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "PLAN_LIMIT" });
    await set({ ...terms, plan: "gold" });
    // What it was longer ago is history.
    metering.time.offsetMs = 3 * 3_600_000;
    try {
      await set(terms);
    } finally {
      metering.time.offsetMs = 0;
    }
  });
});

describe("a balance source", () => {
  const set = (key: TestKey, account: string, usesParentBalance = true) =>
    metering.credits(key).setBalanceSource({ account, usesParentBalance }, { timeoutMs });

  test("is set from above, heard of by followers once, and shown", async () => {
    const before = await head();
    expect(await set(master, "team")).toMatchObject({ accountId: team.id, usesParentBalance: true });
    await set(master, team.id);
    expect(await changedNodes(before)).toEqual([team.id]);
    const { balance } = await metering
      .credits(teams)
      .getBalance({ account: team.id, currency: "EUR" }, { timeoutMs });
    expect(balance!.usesParentBalance).toBe(true);
    await set(master, team.id, false);
    expect(
      (await auditOf("gatehouse.credits.set-balance-source")).map(({ before, after }) => [before, after]),
    ).toEqual([
      [{ usesParentBalance: false }, { usesParentBalance: true }],
      [{ usesParentBalance: true }, { usesParentBalance: false }],
    ]);
  });

  test("is nobody's own to set, nor can an organization draw on the provider", async () => {
    await expect(set(teams, team.id)).rejects.toMatchObject({ reason: "OWN_CEILING" });
    await expect(set(root, identity.root.id)).rejects.toMatchObject({ reason: "OWN_CEILING" });
    expect(await fieldsOf(set(root, organization.id))).toEqual(["uses_parent_balance"]);
    await set(root, organization.id, false);
  });
});

const setCredit = (key: TestKey, account: string, creditLimit: bigint, currency = "USD") =>
  metering.credits(key).setCreditLimit({ account, currency, creditLimit }, { timeoutMs });

test("a credit limit is set from above, opens the wallet and is audited", async () => {
  const account = identity.account(organization, "limited");
  const set = (key: TestKey, creditLimit: bigint) => setCredit(key, account.id, creditLimit);
  await setCredit(root, organization.id, 5n);
  const own = identity.key(account, "MASTER", undefined, funds);
  await expect(set(own, 5n)).rejects.toMatchObject({ reason: "OWN_CEILING" });
  const before = await head();
  expect((await set(master, 5n)).balance).toMatchObject({ amount: 0n, available: 5n, creditLimit: 5n });
  expect(await changedNodes(before)).toEqual([account.id]);
  await set(master, 5n);
  const events = (await auditOf("gatehouse.credits.set-credit-limit")).filter(
    ({ target_id }) => target_id === account.id,
  );
  expect(events).toMatchObject([
    { target_id: account.id, actor_key_id: master.id, before: { creditLimit: 0 }, after: { creditLimit: 5 } },
  ]);
  expect(await fieldsOf(set(master, -1n))).toEqual(["credit_limit"]);
});

describe("credit that an organization hands down", () => {
  const currency = "credits";
  let made = 0;
  /** An organization with so much credit, its master key, and three accounts below: the last one below the second. */
  async function organizationWith(credit: bigint) {
    const organization = identity.account(identity.root, `creditor-${++made}`);
    const [one, two] = [identity.account(organization, "one"), identity.account(organization, "two")];
    const three = identity.account(two, "three");
    const master = identity.key(organization, "MASTER", undefined, funds);
    const twos = identity.key(two, "MASTER", undefined, funds);
    await metering.follower.prove();
    if (credit > 0n) await set(root, organization.id, credit);
    const closeOne = () => {
      identity.change({ ...one, status: "CLOSED" });
      return metering.follower.prove();
    };
    const ids = { one: one.id, two: two.id, three: three.id, organization: organization.id };
    return { master, twos, closeOne, ...ids };
  }
  const set = (key: TestKey, account: string, credit: bigint) => setCredit(key, account, credit, currency);
  const balanceOf = async (account: string) => {
    const { balance } = await metering.credits(root).getBalance({ account, currency }, { timeoutMs });
    const { amount, creditLimit, creditGiven, available } = balance!;
    return [amount, creditLimit, creditGiven, available].map(Number);
  };
  const move = (key: TestKey, from: string, to: string, amount: bigint) =>
    metering.credits(key).transfer({ from, to, amount, currency }, { timeoutMs });
  const refused = { code: "FAILED_PRECONDITION", reason: "CREDIT_EXHAUSTED" };

  test("is taken off its own, whoever below it hands it down, and comes back", async () => {
    const { master, twos, one, two, three, organization } = await organizationWith(100n);
    const before = await head();
    expect((await set(master, one, 60n)).balance).toMatchObject({ creditLimit: 60n, creditGiven: 0n });
    expect(await changedNodes(before)).toEqual([one]);
    expect(await balanceOf(organization)).toEqual([0, 100, 60, 40]);
    const call = set(master, two, 41n);
    await expect(call).rejects.toMatchObject(refused);
    expect(await fieldsOf(call)).toEqual(["credit_limit"]);
    await set(master, two, 40n);
    await expect(set(twos, three, 1n)).rejects.toMatchObject(refused);
    await expect(move(master, organization, one, 1n)).rejects.toMatchObject(refused);
    const full = await head();
    await set(master, one, 50n);
    expect(await changedNodes(full)).toEqual([organization]);
    await set(twos, three, 10n);
    expect(await balanceOf(organization)).toEqual([0, 100, 100, 0]);
    await set(master, one, 0n);
    expect(await balanceOf(organization)).toEqual([0, 100, 50, 50]);
  });

  test("is not what it has used itself, but its money covers it", async () => {
    const { master, one, two, organization } = await organizationWith(100n);
    await move(master, organization, one, 80n);
    await expect(set(master, two, 21n)).rejects.toMatchObject(refused);
    await set(master, two, 20n);
    await expect(move(master, organization, one, 1n)).rejects.toMatchObject(refused);
    await move(master, one, organization, 80n);
    await set(master, two, 100n);
    await expect(set(master, two, 101n)).rejects.toMatchObject(refused);
  });

  test("is nothing where the provider gave it none, and a refused call opens no wallet, nor one for no credit", async () => {
    const { master, one } = await organizationWith(0n);
    await expect(set(master, one, 1n)).rejects.toMatchObject(refused);
    expect((await set(master, one, 0n)).balance).toMatchObject({ accountId: one, currency, available: 0n });
    const wallets = await metering.query("SELECT id FROM wallet WHERE account_id = $1", [one]);
    expect(wallets).toEqual([]);
  });

  test("is beside what the provider gives its accounts, until it raises that itself", async () => {
    const { master, one, two, organization } = await organizationWith(10n);
    await set(root, one, 1000n);
    expect(await balanceOf(organization)).toEqual([0, 10, 0, 10]);
    await set(master, one, 10n);
    await expect(set(master, one, 11n)).rejects.toMatchObject(refused);
    await set(master, two, 10n);
    expect(await balanceOf(organization)).toEqual([0, 10, 10, 0]);
    await set(root, two, 10n);
    expect(await balanceOf(organization)).toEqual([0, 10, 0, 10]);
  });

  test("is not given a second time while it is owed", async () => {
    const { master, one, two, three, organization } = await organizationWith(100n);
    await set(master, one, 100n);
    await move(master, one, three, 80n);
    await set(master, one, 0n);
    expect(await balanceOf(organization)).toEqual([0, 100, 80, 20]);
    await expect(set(master, two, 21n)).rejects.toMatchObject(refused);
    await set(master, two, 20n);
    expect(await balanceOf(organization)).toEqual([0, 100, 100, 0]);
  });

  test("comes back once it is paid and a limit is set, also to what it was", async () => {
    const { master, one, three, organization } = await organizationWith(100n);
    await set(master, one, 80n);
    await move(master, one, three, 80n);
    await set(master, one, 0n);
    await move(master, three, one, 80n);
    expect(await balanceOf(organization)).toEqual([0, 100, 80, 20]);
    const before = await auditOf("gatehouse.credits.set-credit-limit");
    await set(master, one, 0n);
    expect(await balanceOf(organization)).toEqual([0, 100, 0, 100]);
    expect(await auditOf("gatehouse.credits.set-credit-limit")).toEqual(before);
  });

  test("is of a closed account only what that owes, and its limit is not raised again", async () => {
    const { master, one, two, three, organization, closeOne } = await organizationWith(100n);
    await set(master, one, 60n);
    await move(master, one, three, 20n);
    await closeOne();
    for (const key of [master, root]) {
      const raised = set(key, one, 61n);
      await expect(raised).rejects.toMatchObject({ code: "FAILED_PRECONDITION", reason: "FINAL_STATE" });
    }
    await expect(set(master, two, 81n)).rejects.toMatchObject(refused);
    await set(master, two, 80n);
    expect(await balanceOf(organization)).toEqual([0, 100, 100, 0]);
    await set(master, one, 0n);
  });

  test("is its money too: what it gives it does not spend itself, and together they never owe", async () => {
    const { master, one, two, organization } = await organizationWith(0n);
    await metering.credits(root).topUp({ account: organization, amount: 100n, currency }, { timeoutMs });
    await expect(set(master, one, 101n)).rejects.toMatchObject(refused);
    await set(master, one, 60n);
    expect(await balanceOf(organization)).toEqual([100, 0, 60, 40]);
    await expect(move(master, organization, two, 41n)).rejects.toMatchObject(refused);
    const holder = new Holder(metering, `spender-${made}`);
    const spend = async (account: string, micros: number) => {
      const find = "SELECT id FROM wallet WHERE account_id = $1 AND currency = $2";
      const id = (await metering.query<{ id: string }>(find, [account, currency]))[0]!.id;
      const nodeIds = [...new Set([account, organization, identity.root.id])];
      const { results } = await holder.acquire(nodeIds, { requests: 1 }, { costs: { [id]: micros } });
      if (results[0]!.outcome !== Outcome.GRANTED) return "REFUSED";
      holder.pay(id, micros);
      return "GRANTED";
    };
    expect([await spend(organization, 41), await spend(organization, 40)]).toEqual(["REFUSED", "GRANTED"]);
    expect([await spend(one, 60), await spend(one, 1)]).toEqual(["GRANTED", "REFUSED"]);
    await holder.ship(() => true);
    expect([await balanceOf(organization), await balanceOf(one)]).toEqual([
      [60, 0, 60, 0],
      [-60, 60, 0, 0],
    ]);
  });

  test("stays where the provider lowers the organization's, which then has less than nothing", async () => {
    const { master, one, two, organization } = await organizationWith(100n);
    await set(master, one, 60n);
    await set(root, organization, 50n);
    expect(await balanceOf(organization)).toEqual([0, 50, 60, -10]);
    await expect(set(master, two, 1n)).rejects.toMatchObject(refused);
    await set(master, one, 20n);
    await set(master, two, 30n);
    expect(await balanceOf(organization)).toEqual([0, 50, 50, 0]);
  });

  test("is no more for calls at once, however they end", async () => {
    for (let round = 0; round < 10; round++) {
      const { master, one, two, three, organization } = await organizationWith(100n);
      const all = [one, two, three];
      const transfer = move(master, organization, one, 50n);
      const answers = await Promise.allSettled([
        ...all.map((account) => set(master, account, 60n)),
        transfer,
      ]);
      const done = answers.map(({ status }) => status === "fulfilled");
      expect(done.filter(Boolean)).toHaveLength(1);
      const balances = await Promise.all(all.map(balanceOf));
      expect(balances.reduce((sum, [, limit]) => sum + limit!, 0)).toBe(done[3] ? 0 : 60);
      expect(await balanceOf(organization)).toEqual(done[3] ? [-50, 100, 0, 50] : [0, 100, 60, 40]);
    }
  });

  test("would be more, did calls not hold the organization's wallet (negative control)", async () => {
    const database = await openDatabase({ url: postgres.url, schema: "metering", entities: [], migrations });
    try {
      const log = new ChangeLog({ dataSource: database, source: "metering", ring: () => {} });
      const commit = log.commit.bind(log);
      // Both have added up what is given before either says what it gives.
      let [met, open] = [0, () => {}];
      const both = new Promise<void>((resolve) => {
        open = resolve;
      });
      const query = async (manager: EntityManager, text: string, parameters: unknown[]) => {
        const rows = await manager.query(text.replace("FOR UPDATE", ""), parameters);
        if (text.includes("AS given")) {
          if (++met === 2) open();
          await both;
        }
        return rows;
      };
      const weakened = (tx: Tx) => ({
        manager: { query: (text: string, parameters: unknown[]) => query(tx.manager, text, parameters) },
        changed: tx.changed.bind(tx),
      });
      log.commit = (work) => commit((tx) => work(weakened(tx) as never));
      const store = new PostgresCreditTermsStore(log);
      const { one, two, organization } = await organizationWith(100n);
      const give = (accountId: string) =>
        store.setCreditLimit(
          { accountId, currency },
          micros(60),
          { keyId: root.id, accountId: organization },
          true,
        );
      await Promise.all([give(one), give(two)]);
      const limits = (await Promise.all([one, two].map(balanceOf))).map(([, limit]) => limit);
      expect(limits).toEqual([60, 60]);
    } finally {
      await database.destroy();
    }
  });
});
