import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeFreshness, sqlState, type Tx } from "../src/index.ts";
import { type Ledger, openLedger, touch } from "./ledger.ts";

let postgres: TestPostgres;
let ledger: Ledger;
const children: ChildProcess[] = [];

beforeAll(async () => {
  postgres = await startTestPostgres();
  ledger = await openLedger(postgres.url, "gates");
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await ledger.close();
  await postgres.stop();
});

async function timedMs(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

/** A writer process that stops dead once it has written and before it commits; `eager`, with its revision. */
async function freezeBeforeCommit(node: string, eager = false): Promise<ChildProcess> {
  const child = spawn(process.execPath, [new URL("frozen-writer.ts", import.meta.url).pathname], {
    env: {
      ...process.env,
      LEDGER_URL: postgres.url,
      LEDGER_SCHEMA: "gates",
      LEDGER_NODE: node,
      LEDGER_EAGER: eager ? "1" : "",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once("data", () => resolve());
    child.once("exit", (code) => reject(new Error(`the writer ended with ${code}`)));
  });
  child.kill("SIGSTOP");
  return child;
}

describe("a client that is frozen between its writes and its commit", () => {
  it("holds nobody's revision: others commit at once", async () => {
    const head = await ledger.log.head();
    const child = await freezeBeforeCommit("frozen one");
    const { freshness } = await ledger.log.commit((tx) => touch(tx, "another"));
    expect(decodeFreshness(freshness)!.revision).toBe(head.revision + 1);
    // It is not over yet: nobody waited for it.
    const open = `SELECT FROM pg_stat_activity WHERE state = 'idle in transaction' AND pid <> pg_backend_pid()`;
    expect(await ledger.dataSource.query(open)).toHaveLength(1);
    expect(await ledger.dataSource.query("SELECT id FROM thing WHERE id = 'frozen one'")).toEqual([]);
    child.kill("SIGKILL");
  });

  it("would hold up everybody, if it took its revision before the commit (control)", async () => {
    const child = await freezeBeforeCommit("frozen eager", true);
    const waitedMs = await timedMs(() => ledger.log.commit((tx) => touch(tx, "another")));
    expect(waitedMs).toBeGreaterThan(500);
    child.kill("SIGKILL");
  });

  it("holds up a revoke of what it relies on by no more than about its timeout of a second", async () => {
    await freezeBeforeCommit("frozen two");
    const waitedMs = await timedMs(() =>
      ledger.log.commit(async (tx) => {
        await tx.gate({ changed: ["frozen two"] });
        await touch(tx, "frozen two");
      }),
    );
    expect(waitedMs).toBeLessThan(2000);
    expect(await ledger.dataSource.query("SELECT state FROM thing WHERE id = 'frozen two'")).toEqual([
      { state: 0 },
    ]);
  });

  it("is told that its commit failed, and its connection is not used again", async () => {
    const late = ledger.log.commit(async (tx) => {
      await touch(tx, "late");
      const pid = (await tx.manager.query<[{ pid: number }]>("SELECT pg_backend_pid() AS pid"))[0].pid;
      await until(async () => {
        const [row] = await ledger.dataSource.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", [pid]);
        return row === undefined;
      });
    });
    await expect(late).rejects.toThrow();
    for (let i = 0; i < 30; i++) await ledger.log.commit((tx) => touch(tx, "after"));
    expect(await ledger.dataSource.query("SELECT id FROM thing WHERE id = 'late'")).toEqual([]);
  });
});

describe("a gate", () => {
  const streamers = 12;
  const holdMs = 100;

  /**
   * Overlapping transactions, each of which keeps a node as it is for a while. Those that hand over end only while
   * another keeps it, too: then there is never a free moment, however slow the machine.
   */
  async function underStream(
    keep: (client: pg.PoolClient) => Promise<unknown>,
    meanwhile: () => Promise<void>,
    { handOver = false } = {},
  ) {
    const pool = new pg.Pool({
      connectionString: postgres.url,
      max: streamers,
      options: "-c search_path=gates",
    });
    let streaming = true;
    let keeping = 0;
    const underWay = Array.from({ length: streamers }, () => Promise.withResolvers<void>());
    const streams = Array.from({ length: streamers }, async (_, i) => {
      while (streaming) {
        const client = await pool.connect();
        await client.query("BEGIN");
        await keep(client);
        keeping++;
        underWay[i]!.resolve();
        await client.query("SELECT pg_sleep($1 * random())", [(2 * holdMs) / 1000]);
        while (handOver && streaming && keeping === 1) await pause(5);
        keeping--;
        await client.query("COMMIT");
        client.release();
      }
    });
    try {
      await Promise.all(underWay.map(({ promise }) => promise));
      await meanwhile();
    } finally {
      streaming = false;
      await Promise.all(streams);
      await pool.end();
    }
  }

  it("lets a change through a stream of those that rely on what it changes", async () => {
    await ledger.log.commit((tx) => touch(tx, "popular"));
    await underStream(
      (client) => client.query("SELECT pg_advisory_xact_lock_shared(hashtextextended('popular', 0))"),
      async () => {
        for (let i = 0; i < 3; i++) {
          const waitedMs = await timedMs(() =>
            ledger.log.commit(async (tx) => {
              await tx.gate({ changed: ["popular"] });
              await touch(tx, "popular");
            }),
          );
          expect(waitedMs).toBeLessThan(1000);
        }
      },
    );
  });

  it("is what does it: row locks let the same stream starve the change (control)", async () => {
    await ledger.log.commit((tx) => touch(tx, "starved"));
    const changer = new pg.Client({ connectionString: postgres.url, options: "-c search_path=gates" });
    await changer.connect();
    await underStream(
      (client) => client.query("SELECT 1 FROM thing WHERE id = 'starved' FOR SHARE"),
      async () => {
        await changer.query("SET statement_timeout = 2000");
        const change = changer.query("UPDATE thing SET state = 99 WHERE id = 'starved'");
        await expect(change).rejects.toSatisfy((error) => sqlState(error) === "57014");
      },
      { handOver: true },
    );
    await changer.end();
  });

  it("never deadlocks, in whatever order the nodes are named", async () => {
    const nodes = ["n1", "n2", "n3", "n4"];
    let runs = 0;
    const mutate = (changed: readonly string[]) =>
      ledger.log.commit(async (tx) => {
        runs++;
        await tx.gate({ changed, reliedOn: ["n5"] });
        await touch(tx, changed[0]!);
      });
    for (let round = 0; round < 10; round++) {
      await Promise.all([
        mutate(nodes),
        mutate(nodes.toReversed()),
        mutate(["n3", "n1"]),
        mutate(["n1", "n3"]),
      ]);
    }
    expect(runs).toBe(40); // a deadlock would show as a run more
  });

  it("deadlocks when each takes its gates in its own order (control)", async () => {
    const both = Promise.withResolvers<void>();
    let runs = 0;
    const mutate = (first: string, second: string) =>
      ledger.log.commit(async (tx: Tx) => {
        await tx.gate({ changed: [first] });
        if (++runs === 2) both.resolve();
        await both.promise;
        await tx.gate({ changed: [second] });
      });
    // The server looks for deadlocks after the second that a lock is waited for: it ends one of the two, or both give
    // up at once and meet again, until they are answered BUSY.
    await Promise.allSettled([mutate("m1", "m2"), mutate("m2", "m1")]);
    expect(runs).toBeGreaterThan(2);
  });

  it("keeps a node that is both relied on and changed to one mutation at a time", async () => {
    let inside = 0;
    let most = 0;
    const mutate = () =>
      ledger.log.commit(async (tx) => {
        await tx.gate({ reliedOn: ["both", "both"], changed: ["both"] });
        most = Math.max(most, ++inside);
        await touch(tx, "both");
        inside--;
      });
    await Promise.all(Array.from({ length: 6 }, mutate));
    expect(most).toBe(1);
  });

  it("that stays shut is tried again, and then answered BUSY", async () => {
    const holder = new pg.Client({ connectionString: postgres.url });
    await holder.connect();
    await holder.query("SELECT pg_advisory_lock(hashtextextended('shut', 0))");
    let runs = 0;
    const waiting = ledger.log.commit(async (tx) => {
      runs++;
      await tx.gate({ reliedOn: ["shut"] });
    });
    await expect(waiting).rejects.toMatchObject({ code: "ABORTED", reason: "BUSY" });
    expect(runs).toBe(4);
    await holder.end();
  });

  it("that opens in time is only waited for", async () => {
    const holder = new pg.Client({ connectionString: postgres.url });
    await holder.connect();
    await holder.query("SELECT pg_advisory_lock(hashtextextended('slow', 0))");
    let runs = 0;
    const waiting = ledger.log.commit(async (tx) => {
      if (++runs === 2) await holder.end();
      await tx.gate({ changed: ["slow"] });
      await touch(tx, "slow");
    });
    await waiting;
    expect(runs).toBe(2);
  });
});

/** Polls a condition, for five seconds at most. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 5000;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error("it never came true");
  }
}
