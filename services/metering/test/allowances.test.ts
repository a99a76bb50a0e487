import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Enforcement,
  LimitSource,
  AskResult_Outcome as Outcome,
  type SetLimitRequestSchema,
  Window,
} from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
const root = identity.key(identity.root);
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

type Request = MessageInitShape<typeof SetLimitRequestSchema>;
const daily = (units: bigint) => ({ case: "quota", value: { units, window: Window.DAY } }) as const;
const onAccount = (value: string) => ({ node: { case: "account", value } as const });
const set = async (request: Request) => (await metering.limits(root).setLimit(request, { timeoutMs })).limit!;
const allowancesOf = async (caller: TestKey, account: string) =>
  (await metering.limits(caller).getAllowance(onAccount(account), { timeoutMs })).allowances;

let made = 0;
async function organization(teams = 2) {
  const account = identity.account(identity.root, `org-${++made}`);
  const below = Array.from({ length: teams }, (_, i) => identity.account(account, `team-${made}-${i}`));
  const keys = { master: identity.key(account), account: identity.key(account, "ACCOUNT") };
  await metering.follower.prove();
  return { account, teams: below, keys };
}

test("tells what is used, lent and left of everything that binds a node, and when it starts anew", async () => {
  const { account, teams, keys } = await organization(1);
  const limit = await set({ ...onAccount(account.id), allowance: daily(10n) });
  const own = await set({ ...onAccount(teams[0]!.id), allowance: daily(20n) });
  const holder = new Holder(metering, `all-${made}`);
  const nodeIds = [teams[0]!.id, account.id, identity.root.id];
  await holder.acquire(nodeIds, { requests: 4 }, { want: 4 });
  for (let i = 0; i < 3; i++) expect(holder.spend([limit.id, own.id])).toBe(true);
  await holder.ship();
  const common = { used: 3n, leased: 1n, reservedForOthers: 0n };
  const source = LimitSource.OWN;
  expect(await allowancesOf(keys.master, teams[0]!.id)).toMatchObject([
    { ...common, limit: { id: own.id, nodeId: teams[0]!.id, source }, remaining: 16n, allocatedBelow: 0n },
    { ...common, limit: { id: limit.id, source }, remaining: 6n, allocatedBelow: 20n },
  ]);
  const [mine] = await allowancesOf(keys.master, account.id);
  expect(Number(mine!.resetsAt!.seconds) % 86_400).toBe(0);
});

test("shows a bucket that only warns beyond nothing", async () => {
  const { account, keys } = await organization();
  const limit = await set({
    ...onAccount(account.id),
    allowance: daily(2n),
    enforcement: Enforcement.WARN,
  });
  const holder = new Holder(metering, `warn-${made}`);
  const { results } = await holder.acquire([account.id], { requests: 5 }, { want: 5 });
  expect(results[0]!.outcome).toBe(Outcome.GRANTED);
  for (let i = 0; i < 5; i++) holder.spend([limit.id]);
  await holder.ship(() => true);
  expect(await allowancesOf(keys.master, account.id)).toMatchObject([
    { used: 5n, remaining: -3n, limit: { enforcement: Enforcement.WARN } },
  ]);
});

test("adds up what the same limits right below allow, to who sees below", async () => {
  const { account, teams, keys } = await organization(3);
  const deeper = identity.account(teams[0]!, `deeper-${made}`);
  await metering.follower.prove();
  await set({ ...onAccount(account.id), allowance: daily(10n) });
  await set({ ...onAccount(account.id), allowance: daily(7n), resource: "orders.**" });
  for (const { id } of teams) await set({ ...onAccount(id), allowance: daily(5n) });
  await set({ ...onAccount(teams[0]!.id), allowance: daily(9n), resource: "orders.**" });
  const hourly = { case: "quota", value: { units: 100n, window: Window.HOUR } } as const;
  await set({ ...onAccount(teams[0]!.id), allowance: hourly });
  await set({ ...onAccount(deeper.id), allowance: daily(50n) });
  const sums = async (key: TestKey) =>
    (await allowancesOf(key, account.id)).map(({ limit, allocatedBelow }) => [
      limit!.resource,
      allocatedBelow,
    ]);
  expect(await sums(keys.master)).toEqual([
    ["", 15n],
    ["orders.**", 9n],
  ]);
  expect(await sums(root)).toEqual(await sums(keys.master));
  // An account's own key does not see what is below it, so it is not told how much there is.
  expect(await sums(keys.account)).toEqual([
    ["", undefined],
    ["orders.**", undefined],
  ]);
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  for (const { id } of teams) await set({ ...onAccount(id), allowance: daily(most) });
  expect((await sums(keys.master))[0]).toEqual(["", 3n * most]);
});

test("tells what priced calls draw on, to whoever reaches it and may read credits", async () => {
  const { account, teams } = await organization(1);
  const [team] = teams as [(typeof teams)[number]];
  const keyOf = (of: typeof team, role: string) => identity.key(of, "MASTER", undefined, [role]);
  const [funds, admin, teams1] = [
    keyOf(account, "auditor"),
    keyOf(account, "administrator"),
    keyOf(team, "auditor"),
  ];
  const provider = keyOf(identity.root, "fund-manager");
  await metering.follower.prove();
  const credits = metering.credits(provider);
  for (const [of, amount, currency] of [
    [account.id, 7n, "credits"],
    [account.id, 5n, "USD"],
    [team.id, 3n, "USD"],
  ] as const) {
    await credits.topUp({ account: of, amount, currency }, { timeoutMs });
  }
  const drawn = async (key: TestKey, node = onAccount(team.id)) => {
    const { balances } = await metering.limits(key).getAllowance(node, { timeoutMs });
    return balances.map(({ accountId, currency, available }) => [accountId, currency, available]);
  };
  const own = [[team.id, "USD", 3n]];
  expect(await drawn(funds)).toEqual(own);
  expect(await drawn(teams1)).toEqual(own);
  expect(await drawn(admin)).toEqual([]);
  await credits.setBalanceSource({ account: team.id, usesParentBalance: true }, { timeoutMs });
  expect(await drawn(funds)).toEqual([
    [account.id, "USD", 5n],
    [account.id, "credits", 7n],
  ]);
  expect(await drawn(teams1)).toEqual([]);
  const reader = keyOf(identity.root, "auditor");
  await metering.follower.prove();
  expect(await drawn(reader, onAccount(identity.root.id))).toEqual([]);
});
