import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { auditDatabase } from "@gatehouse/metering";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Lane, runLane, stepsOf, TOTAL, type Way } from "../../services/metering/test/ledger-lanes.ts";
import { LedgerModel } from "../../services/metering/test/ledger-model.ts";
import { timely } from "../system/caller.ts";
import { Link } from "../system/link.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { usageBelow } from "./books.ts";
import { LedgerClients, METER, PRICE } from "./ledger-clients.ts";
import { USD } from "./money-books.ts";

/**
 * P5 while processes crash: clients with accounts of their own each ask one thing after another, at times twice at once,
 * of two replicas over one Postgres. All three are killed at any moment, replicas also once their answers are lost; what
 * was not answered is asked again. The answers are those of a model that knows no database; at every moment all wallets
 * together come to nothing; and in the end every balance and all the books agree.
 *
 * The third replica forgets what it has answered, for the control. LEDGER_ROUNDS repeats the crashes.
 */
const ROUNDS = Number(process.env.LEDGER_ROUNDS ?? 1);
const ROUND_TIMEOUT_MS = 150_000;
const seed = Number(process.env.LEDGER_SEED ?? Date.now() % 2 ** 31);
const LANES = 12;
const MOST_REQUESTS = 2000 * ROUNDS;
/** Answered between two crashes, at least. */
const BETWEEN = 250;
const RPCS = [
  "topUp",
  "transfer",
  "transfer",
  "transfer",
  "adjust",
  "refund",
  "report",
  "report",
  "setCreditLimit",
  "getBalance",
] as const;
const WAYS: readonly Way[] = ["new", "new", "new", "new", "new", "again", "stolen", "twice"];
const FORGETFUL = 2;

const system = useSystem({
  replicas: [],
  moreMeterings: [{}, { main: join(import.meta.dirname, "forgetful-metering.ts") }],
});
/** The network between the clients and each replica. */
let links: readonly Link[];
let clients: readonly LedgerClients[];

beforeAll(async () => {
  const { meterings, root } = system();
  links = await Promise.all(meterings.map((process) => Link.open(() => process.grpcPort)));
  await root.meters.createMeter({ name: METER }, timely);
  await root.credits.setPrice({ meter: METER, currency: USD, price: BigInt(PRICE) }, timely);
  const nowMs = Date.now();
  clients = links.map(({ address }) => new LedgerClients(address, root.secret, nowMs));
});
afterAll(async () => {
  for (const each of clients ?? []) each.close();
  await Promise.all((links ?? []).map((link) => link.close()));
});

/** Accounts of two organizations, so that there is somewhere not to go. */
async function laneOf(name: string): Promise<Lane> {
  const [one, other] = await Promise.all([
    makeOrganization(system(), name, ["one", "two"]),
    makeOrganization(system(), `${name} other`),
  ]);
  const organization = one.id;
  const own = [one, ...one.subaccounts].map(({ id }) => ({ id, organization }));
  const accounts = [...own, { id: other.id, organization: other.id }];
  return { accounts, model: new LedgerModel(accounts, PRICE), asked: 0 };
}

/** What crashes are told of a run. */
interface Progress {
  readonly isOver: () => boolean;
  /** Waits until some more is answered; less, where the run is over. */
  readonly more: () => Promise<void>;
}

/** Runs lanes through some of the replicas, and `crash` beside them: when that ends, they do. */
async function run(
  name: string,
  through: readonly number[],
  ways: readonly Way[],
  crash: (progress: Progress) => Promise<void>,
) {
  const lanes = await Promise.all(Array.from({ length: LANES }, (_, i) => laneOf(`${name} ${i}`)));
  const steps = stepsOf({ rpcs: RPCS, ways, lanes: LANES, requests: MOST_REQUESTS, seed });
  let over = false;
  let lost = 0;
  const isOver = () => over;
  const end = () => {
    over = true;
  };
  const asked = () => lanes.reduce((sum, lane) => sum + lane.asked, 0);
  const more = async () => {
    const before = asked();
    await until("more is answered", () => over || asked() >= before + BETWEEN);
  };
  const replicas = through.map((i) => clients[i]!);
  const ask = LedgerClients.askUntilAnswered(replicas, () => lost++);
  const lane = (each: Lane, i: number) => runLane(each, steps[i]!, { ask, isOver, run: `seed ${seed}` });
  const running = Promise.all(lanes.map(lane)).finally(end);
  const [failed, totals] = await Promise.all([
    running.then(
      () => undefined,
      (error: unknown) => error,
    ),
    watchTotals(isOver),
    crash({ isOver, more }).finally(end),
  ]);
  return { lanes, failed, totals, asked: asked(), lost };
}

/** What all wallets come to, again and again; while Postgres is down nobody can say. */
async function watchTotals(isOver: () => boolean): Promise<readonly number[]> {
  const totals: number[] = [];
  while (!isOver()) {
    const sql = new pg.Client({
      connectionString: system().databaseUrl,
      options: "-c search_path=metering",
    });
    sql.on("error", () => {});
    try {
      await sql.connect();
      for (; !isOver(); await pause(20)) totals.push(Number((await sql.query(TOTAL)).rows[0].total));
    } catch {
      await pause(50);
    } finally {
      // Not waited for: there may be nobody to say goodbye to.
      sql.end().catch(() => {});
    }
  }
  return totals;
}

/** Everything that can crash does, each time after some more was asked. */
const crashes: readonly (() => Promise<void>)[] = [
  () => killReplica(0),
  killDatabase,
  () => killReplica(1, { losesAnswers: true }),
  killBackend,
  async () => {
    await system().meterings[1]!.kill();
    await killDatabase();
    await system().meterings[1]!.start();
  },
  () => killReplica(0, { losesAnswers: true }),
];

async function killReplica(i: number, { losesAnswers = false } = {}): Promise<void> {
  if (losesAnswers) {
    links[i]!.hangReplies();
    // What was asked is done by then, most of it.
    await pause(Math.random() * 50);
  }
  await system().meterings[i]!.kill();
  links[i]!.cut();
  links[i]!.mend();
  await system().meterings[i]!.start();
}

async function killDatabase(): Promise<void> {
  await system().postgres.kill();
  await system().postgres.start();
}

/** One of its processes in the middle of something, as the kernel does when memory runs out: it recovers by itself. */
async function killBackend(): Promise<void> {
  const sql = new pg.Client({ connectionString: system().databaseUrl });
  sql.on("error", () => {});
  await sql.connect();
  const pid = await until("a connection is busy", async () => {
    const { rows } = await sql.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity
       WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle' LIMIT 1`,
    );
    return rows[0]?.pid;
  });
  process.kill(pid, "SIGKILL");
  sql.end().catch(() => {});
}

async function expectBalances(lanes: readonly Lane[]): Promise<void> {
  const { root } = system();
  for (const { accounts, model } of lanes) {
    for (const { id } of accounts) {
      const { balance } = await root.credits.getBalance({ account: id, currency: USD }, timely);
      expect(Number(balance!.amount)).toBe(model.balances.get(id) ?? 0);
      expect(Number(balance!.creditLimit)).toBe(model.creditLimits.get(id) ?? 0);
    }
    const usage = await usageBelow(root, accounts[0]!.id, METER);
    expect(Object.fromEntries(usage)).toEqual(
      Object.fromEntries([...model.reported].filter(([id]) => id !== accounts.at(-1)!.id)),
    );
  }
}

async function expectBooks(): Promise<void> {
  const differences: object[] = [];
  const { looked } = await auditDatabase(system().databaseUrl, (each) => differences.push(each));
  expect(differences).toEqual([]);
  expect(looked).toBeGreaterThan(0);
}

test("whatever crashes, what is asked again and at once is answered as a model does, and the books agree", {
  timeout: ROUND_TIMEOUT_MS * ROUNDS,
}, async () => {
  let crashed = 0;
  const ran = await run("Crashed", [0, 1], WAYS, async ({ isOver, more }) => {
    while (crashed < ROUNDS * crashes.length && !isOver()) {
      await more();
      await pause(Math.random() * 200);
      await crashes[crashed++ % crashes.length]!();
    }
    await more();
  });
  measured("the ledger while processes crash", {
    seed,
    crashed,
    requests: ran.asked,
    "asked again": ran.lost,
    "totals read": ran.totals.length,
  });
  if (ran.failed !== undefined) throw ran.failed;
  expect(crashed).toBe(ROUNDS * crashes.length);
  expect(ran.lost).toBeGreaterThan(crashed);
  expect(ran.totals.length).toBeGreaterThan(10);
  expect(ran.totals.filter((total) => total !== 0)).toEqual([]);
  await expectBalances(ran.lanes);
  await expectBooks();
});

test("control: where what was answered is forgotten, the first answers that are lost are found", async () => {
  // Nothing is said twice but what was not answered.
  const ran = await run("Forgotten", [FORGETFUL], ["new"], async ({ isOver, more }) => {
    for (let i = 0; i < 5 && !isOver(); i++) {
      await more();
      await killReplica(FORGETFUL, { losesAnswers: true });
    }
    await more();
  });
  measured("a ledger that forgets what it has answered", { requests: ran.asked, found: String(ran.failed) });
  expect(String(ran.failed)).toContain(`seed ${seed}`);
  // What was booked twice was booked as a whole.
  expect(ran.totals.filter((total) => total !== 0)).toEqual([]);
});
