import type { AccountNode, KeyView } from "@gatehouse/access";
import { ChangeLog, databaseFailure, openDatabase } from "@gatehouse/changefeed";
import { mintId } from "@gatehouse/keys";
import { Failure } from "@gatehouse/service/failure";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import pg from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { auditBooks, type Difference } from "../src/domain/books.ts";
import type { Mirror } from "../src/domain/mirror.ts";
import { type Micros, micros } from "../src/domain/money.ts";
import { MoneyLoop, type MoneyStore, type MoneyTx, type Moved } from "../src/domain/money-loop.ts";
import { adjust, topUp, transfer } from "../src/domain/move-money.ts";
import type { Party } from "../src/domain/movement.ts";
import { PostgresCreditTermsStore } from "../src/storage/credit-terms-store.ts";
import { PostgresMoneyStore } from "../src/storage/money-store.ts";
import { LedgerBook, WalletBook } from "../src/storage/wallet-books.ts";
import { IdentityLog, startMetering } from "./fixture.ts";
import { type Answered, type Lane, runLane, stepsOf, TOTAL } from "./ledger-lanes.ts";
import { type Account, LedgerModel, type Request } from "./ledger-model.ts";

/**
 * P5: clients with accounts of their own each ask one thing after another, through two replicas at once, now and
 * then twice at the same time, while connections to the database are cut. What they are answered is what a model
 * answers that knows no database; at every moment all wallets together come to nothing; and in the end every balance,
 * every row and every running balance agree.
 */

const CURRENCY = "USD";
const LANES = 24;
const REQUESTS_PER_LANE = Number(process.env.LEDGER_REQUESTS ?? 900);
/** A run that is slower, because others use the machine, ends with fewer requests. */
const MOST_MS = 60_000;
const RPCS = ["topUp", "transfer", "transfer", "transfer", "adjust", "refund"] as const;
const WAYS = ["new", "new", "new", "new", "new", "again", "stolen", "twice"] as const;
const seed = Number(process.env.LEDGER_SEED ?? Date.now() % 2 ** 31);
let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
  // Makes the tables; nothing else of it is used.
  const metering = await startMetering(postgres.url, new IdentityLog());
  await metering.stop();
});
afterAll(() => postgres?.stop());

const root = nodeOf("acc_root", undefined, undefined);
const caller: KeyView = {
  key: { id: "key_root", accountId: root.id, kind: "MASTER" },
  chain: [root],
} as unknown as KeyView;

function nodeOf(id: string, parentId: string | undefined, organizationId: string | undefined): AccountNode {
  return { id, parentId, organizationId, status: "ACTIVE" } as AccountNode;
}

/** A replica of metering as far as money goes; `weaken` is for controls. */
async function replica(mirror: Mirror, weaken: (store: MoneyStore) => MoneyStore = (store) => store) {
  const dataSource = await openDatabase({
    url: postgres.url,
    schema: "metering",
    entities: [],
    migrations: [],
    poolSize: 4,
  });
  const log = new ChangeLog({ dataSource, source: "metering" });
  const loop = new MoneyLoop(weaken(new PostgresMoneyStore(log)));
  onTestFinished(async () => {
    loop.close();
    await dataSource.destroy();
  });
  return { dataSource, terms: new PostgresCreditTermsStore(log), dependencies: { mirror, loop } };
}

type Replica = Awaited<ReturnType<typeof replica>>;

/** Accounts of two organizations, so that there is somewhere not to go. */
function accountsOfLane(): Account[] {
  const [one, other] = [mintId("acc"), mintId("acc")];
  return [one, mintId("acc"), mintId("acc"), mintId("acc"), other].map((id) => ({
    id,
    organization: id === other ? other : one,
  }));
}

function mirrorOf(accounts: readonly Account[]): Mirror {
  const chains = new Map(
    accounts.map(({ id, organization }) => {
      const top = nodeOf(organization, root.id, organization);
      return [id, id === organization ? [top, root] : [nodeOf(id, organization, organization), top, root]];
    }),
  );
  return {
    findChain: async (name) => (name.by === "id" ? chains.get(name.id) : undefined),
    findKey: async () => undefined,
    hasMeter: async () => true,
    hasPlan: async () => true,
  };
}

async function setCreditLimits({ terms }: Replica, { accounts, model }: Lane): Promise<void> {
  for (const [i, { id }] of accounts.entries()) {
    if (i % 2 === 0) continue;
    await terms.setCreditLimit({ accountId: id, currency: CURRENCY }, micros(50), {
      keyId: "key_root",
      accountId: root.id,
    });
    model.creditLimits.set(id, 50);
  }
}

/** As clients do: what may pass is asked again under the same key. */
async function askUntilAnswered(
  { dependencies }: Replica,
  request: Request,
  ids: ReadonlyMap<string, string>,
): Promise<Answered> {
  for (;;) {
    try {
      const { transaction } = await ask(dependencies, request, ids);
      const balance = (party: Party): Micros | undefined => ("system" in party ? undefined : party.balance);
      const { id, kind, amount } = transaction;
      return {
        answer: { kind, amount, from: balance(transaction.from), to: balance(transaction.to) },
        id,
      };
    } catch (thrown) {
      const error = databaseFailure(thrown) ?? thrown;
      if (!(error instanceof Failure)) throw error;
      const mayPass = error.code === "UNAVAILABLE" || error.reason === "BUSY";
      if (!mayPass) return { answer: { refused: error.reason }, id: undefined };
    }
  }
}

function ask(
  dependencies: Replica["dependencies"],
  request: Request,
  ids: ReadonlyMap<string, string>,
): Promise<Moved> {
  if (request.rpc === "report" || request.rpc === "getBalance" || request.rpc === "setCreditLimit") {
    throw new Error(`${request.rpc} moves no money by itself`);
  }
  const common = { currency: CURRENCY, reference: "", reason: "put right", idempotencyKey: request.key };
  const amount = BigInt(request.amount);
  switch (request.rpc) {
    case "topUp":
      return topUp(dependencies, caller, { ...common, account: request.to, amount });
    case "transfer":
      return transfer(dependencies, caller, { ...common, from: request.from, to: request.to, amount });
    case "adjust":
      return adjust(dependencies, caller, { ...common, account: request.account, amount, refundOf: "" });
    case "refund": {
      const refundOf = ids.get(request.of)!;
      return adjust(dependencies, caller, {
        ...common,
        account: request.account,
        amount,
        refundOf,
        currency: "",
      });
    }
  }
}

async function differencesIn({ dataSource }: Replica): Promise<Difference[]> {
  const differences: Difference[] = [];
  await auditBooks([new WalletBook(dataSource), new LedgerBook(dataSource)], (each) =>
    differences.push(each),
  );
  return differences;
}

/** Runs lanes; beside them, reads totals, and cuts connections if asked to. */
async function run({
  requests,
  weaken,
  cuts = false,
}: {
  requests: number;
  weaken?: (store: MoneyStore) => MoneyStore;
  cuts?: boolean;
}) {
  const lanes = Array.from({ length: LANES }, (): Lane => {
    const accounts = accountsOfLane();
    return { accounts, model: new LedgerModel(accounts), asked: 0 };
  });
  const mirror = mirrorOf(lanes.flatMap(({ accounts }) => accounts));
  const replicas = [await replica(mirror, weaken), await replica(mirror, weaken)];
  const steps = stepsOf({ rpcs: RPCS, ways: WAYS, lanes: LANES, requests, seed });
  for (const lane of lanes) await setCreditLimits(replicas[0]!, lane);
  const endMs = performance.now() + MOST_MS;
  let over = false;
  const watching = watch(() => over, cuts);
  const running = lanes.map((lane, i) =>
    runLane(lane, steps[i]!, {
      ask: (n, request, ids) => askUntilAnswered(replicas[n]!, request, ids),
      isOver: () => over || performance.now() > endMs,
      run: `seed ${seed}`,
    }),
  );
  const failed = await Promise.all(running).then(
    () => undefined,
    (error) => error,
  );
  over = true;
  await Promise.allSettled(running);
  const { totals, cut } = await watching;
  return { lanes, replicas, failed, totals, cut };
}

async function watch(isOver: () => boolean, cuts: boolean) {
  const client = new pg.Client({ connectionString: postgres.url, options: "-c search_path=metering" });
  await client.connect();
  const totals: number[] = [];
  let cut = 0;
  try {
    while (!isOver()) {
      totals.push(Number((await client.query(TOTAL)).rows[0].total));
      if (cuts && totals.length % 60 === 0) {
        // Whatever it was doing: a transaction begun, its wallets locked, its commit sent.
        const { rowCount } = await client.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle' LIMIT 1`,
        );
        cut += rowCount ?? 0;
      }
    }
  } finally {
    await client.end();
  }
  return { totals, cut };
}

async function expectBalances({ lanes, replicas }: Awaited<ReturnType<typeof run>>): Promise<void> {
  const rows = await replicas[0]!.dataSource.query<{ account_id: string; balance: string }[]>(
    "SELECT account_id, balance FROM wallet WHERE currency = $1",
    [CURRENCY],
  );
  const balances = new Map(rows.map((row) => [row.account_id, Number(row.balance)]));
  for (const { accounts, model } of lanes) {
    for (const { id } of accounts) expect(balances.get(id) ?? 0).toBe(model.balances.get(id) ?? 0);
  }
}

test("whatever is asked, again and at once, of two replicas that lose connections, the ledger answers as a model does", async () => {
  const ran = await run({ requests: REQUESTS_PER_LANE, cuts: true });
  if (ran.failed !== undefined) throw ran.failed;
  const asked = ran.lanes.reduce((sum, lane) => sum + lane.asked, 0);
  console.info(
    `seed ${seed}: ${asked} requests, ${ran.cut} connections cut, ${ran.totals.length} totals read`,
  );
  expect(ran.totals.every((total) => total === 0)).toBe(true);
  expect(ran.cut).toBeGreaterThan(0);
  await expectBalances(ran);
  expect(await differencesIn(ran.replicas[0]!)).toEqual([]);
}, 120_000);

const weakened =
  (change: (tx: MoneyTx) => Partial<MoneyTx>) =>
  (store: MoneyStore): MoneyStore => ({
    transact: (work) =>
      store.transact((tx) => {
        const methods: MoneyTx = {
          claim: (names) => tx.claim(names),
          transactions: (ids) => tx.transactions(ids),
          lock: (names) => tx.lock(names),
          open: (names) => tx.open(names),
          refunded: (ids) => tx.refunded(ids),
          closed: (ids) => tx.closed(ids),
          write: (round) => tx.write(round),
        };
        return work({ ...methods, ...change(tx) });
      }),
  });

test("control: a ledger that forgets keys is found out", async () => {
  const weaken = weakened(() => ({ claim: async () => new Map() }));
  const { failed } = await run({ requests: 60, weaken });
  expect(String(failed)).toContain(`seed ${seed}`);
}, 60_000);

test("control: a ledger that writes half a transfer is found out by its totals and its books", async () => {
  const weaken = weakened((tx) => ({
    write: (round) => tx.write({ ...round, wallets: round.wallets.slice(0, 1) }),
  }));
  const ran = await run({ requests: 60, weaken });
  expect(String(ran.failed)).toContain(`seed ${seed}`);
  expect(ran.totals.some((total) => total !== 0)).toBe(true);
  expect(await differencesIn(ran.replicas[0]!)).not.toEqual([]);
}, 60_000);
