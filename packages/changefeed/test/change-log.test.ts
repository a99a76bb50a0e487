import type { Failure } from "@gatehouse/service/failure";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import type { DataSource } from "typeorm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChangeLog, changesAfter, decodeFreshness, trimChanges } from "../src/index.ts";
import { type Ledger, openLedger, touch } from "./ledger.ts";

let postgres: TestPostgres;
const opened: Ledger[] = [];

beforeAll(async () => {
  postgres = await startTestPostgres();
});

afterAll(async () => {
  await Promise.all(opened.map((ledger) => ledger.close()));
  await postgres.stop();
});

async function open(schema: string): Promise<Ledger> {
  const ledger = await openLedger(postgres.url, schema);
  opened.push(ledger);
  return ledger;
}

function changes({ log }: Ledger, revision: number, limit = 1000) {
  return log.snapshot((manager, head) =>
    changesAfter(manager, head, { incarnation: head.incarnation, revision }, limit),
  );
}

const revisionOf = (token: string) => decodeFreshness(token)!.revision;

describe("the change log", () => {
  it("hands out revisions without gaps, in the order of commits, to 16 writers at once", async () => {
    const ledger = await open("writers");
    const writers = 16;
    const commits = 20;
    const tokens: number[] = [];
    let writing = true;
    async function write(writer: number): Promise<void> {
      for (let i = 0; i < commits; i++) {
        const { freshness } = await ledger.log.commit((tx) => touch(tx, `thing ${writer} ${i}`));
        tokens.push(revisionOf(freshness));
      }
    }
    // Whoever sees a head sees every change up to it; a change that came in below it later would be lost.
    async function poll(): Promise<number> {
      let seen = 0;
      let polls = 0;
      for (; writing || seen < writers * commits; polls++) {
        const rows = await changes(ledger, seen);
        expect(rows.map(({ revision }) => revision)).toEqual(rows.map((_, i) => seen + 1 + i));
        seen += rows.length;
      }
      return polls;
    }
    const polling = [poll(), poll()];
    await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
    writing = false;
    for (const polls of await Promise.all(polling)) expect(polls).toBeGreaterThan(3);
    expect(tokens.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: writers * commits }, (_, i) => i + 1),
    );
    expect((await ledger.log.head()).revision).toBe(writers * commits);
  });

  it("answers each commit with the token of its own last change, and rings for what it changed", async () => {
    const ledger = await open("tokens");
    const { freshness } = await ledger.log.commit(async (tx) => {
      await touch(tx, "a");
      await touch(tx, "b");
    });
    expect(decodeFreshness(freshness)).toEqual({ source: "identity", ...(await ledger.log.head()) });
    expect(await changes(ledger, 0)).toEqual([
      { revision: 1, kind: "thing", entityId: "a" },
      { revision: 2, kind: "thing", entityId: "b" },
    ]);
    expect(ledger.rung).toEqual([["a", "b"]]);
  });

  it("answers a commit that changed nothing with the head, and does not ring", async () => {
    const ledger = await open("unchanged");
    await ledger.log.commit((tx) => touch(tx, "a"));
    const { value, freshness } = await ledger.log.commit(async () => "nothing");
    expect([value, revisionOf(freshness), ledger.rung.length]).toEqual(["nothing", 1, 1]);
  });

  it("leaves no gap, no row and no bell of a mutation that is rolled back", async () => {
    const ledger = await open("rollback");
    await ledger.log.commit((tx) => touch(tx, "a"));
    const failing = ledger.log.commit(async (tx) => {
      await touch(tx, "b");
      throw new Error("thought better of it");
    });
    await expect(failing).rejects.toThrow("thought better of it");
    await ledger.log.commit((tx) => touch(tx, "c"));
    expect((await changes(ledger, 0)).map(({ revision, entityId }) => [revision, entityId])).toEqual([
      [1, "a"],
      [2, "c"],
    ]);
    expect(ledger.rung).toEqual([["a"], ["c"]]);
    expect(await ledger.dataSource.query("SELECT id FROM thing ORDER BY id")).toEqual([
      { id: "a" },
      { id: "c" },
    ]);
  });

  it("does not commit what follows a statement that failed, even if its error is swallowed", async () => {
    const ledger = await open("swallowed");
    const broken = ledger.log.commit(async (tx) => {
      await touch(tx, "a");
      await tx.manager.query("SELECT 1 / 0").catch(() => {});
    });
    await expect(broken).rejects.toThrow();
    expect((await ledger.log.head()).revision).toBe(0);
  });

  it("lists no more than was asked for, oldest first", async () => {
    const ledger = await open("pages");
    for (const id of ["a", "b", "c"]) await ledger.log.commit((tx) => touch(tx, id));
    expect((await changes(ledger, 1, 1)).map(({ revision }) => revision)).toEqual([2]);
    expect(await changes(ledger, 3)).toEqual([]);
  });

  it("says that the log is cut off to who is behind what was trimmed, and to nobody else", async () => {
    const ledger = await open("trimmed");
    for (let i = 0; i < 5; i++) await ledger.log.commit((tx) => touch(tx, "a"));
    await trimChanges(ledger.dataSource.manager, 2);
    expect(await ledger.dataSource.query("SELECT count(*)::int AS left FROM change_log")).toEqual([
      { left: 2 },
    ]);
    expect((await changes(ledger, 3)).map(({ revision }) => revision)).toEqual([4, 5]);
    await expect(changes(ledger, 2)).rejects.toMatchObject({ code: "OUT_OF_RANGE", reason: "LOG_TRUNCATED" });
    await trimChanges(ledger.dataSource.manager, 1000);
    await expect(changes(ledger, 2)).rejects.toMatchObject({ reason: "LOG_TRUNCATED" });
    await ledger.log.commit((tx) => touch(tx, "a"));
    expect((await changes(ledger, 3)).map(({ revision }) => revision)).toEqual([4, 5, 6]);
  });

  it("trims more than one statement deletes, and holds up no commit meanwhile", async () => {
    const ledger = await open("trimmed-at-length");
    await ledger.dataSource.query(
      "INSERT INTO change_log (kind, entity_id) SELECT 'thing', n::text FROM generate_series(1, 25000) AS n",
    );
    const blocker = ledger.dataSource.createQueryRunner();
    await blocker.query("BEGIN");
    await blocker.query("SELECT FROM change_log WHERE revision = 1 FOR UPDATE");
    const trimmed = trimChanges(ledger.dataSource.manager, 1000);
    const waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE%'";
    await expect.poll(async () => (await ledger.dataSource.query(waiting)).length).toBe(1);
    const { freshness } = await ledger.log.commit((tx) => touch(tx, "a"));
    expect(revisionOf(freshness)).toBe(25_001);
    await blocker.query("ROLLBACK");
    await blocker.release();
    await trimmed;
    const [left] = await ledger.dataSource.query("SELECT count(*)::int AS count FROM change_log");
    expect(left.count).toBe(1001);
  });

  it("says that it is cut off to who is ahead of it, or follows another incarnation", async () => {
    const ledger = await open("incarnations");
    await expect(changes(ledger, 1)).rejects.toMatchObject({ reason: "LOG_TRUNCATED" });
    const strange = ledger.log.snapshot((manager, head) =>
      changesAfter(manager, head, { incarnation: crypto.randomUUID(), revision: 0 }, 10),
    );
    await expect(strange).rejects.toMatchObject({ reason: "LOG_TRUNCATED" });
  });

  it("reads a snapshot at the position it says, whatever commits meanwhile", async () => {
    const ledger = await open("snapshots");
    await ledger.log.commit((tx) => touch(tx, "a"));
    const seen = await ledger.log.snapshot(async (manager, position) => {
      await ledger.log.commit((tx) => touch(tx, "b"));
      return { position, things: await manager.query("SELECT id FROM thing") };
    });
    expect(seen.position.revision).toBe(1);
    expect(seen.things).toEqual([{ id: "a" }]);
  });

  it("answers many who ask for the head with one read begun after they asked", async () => {
    const ledger = await open("heads");
    const first = ledger.log.head();
    const waiting = ledger.log.commit((tx) => touch(tx, "a")).then(() => ledger.log.head());
    expect((await first).revision).toBe(0);
    expect((await waiting).revision).toBe(1);
  });

  it("does not let one read of the head that hangs hang all that come after", async () => {
    const row = [{ incarnation: crypto.randomUUID(), revision: "7" }];
    const answers = [Promise.withResolvers().promise, Promise.resolve(row)];
    const dataSource = { manager: { query: () => answers.shift() } } as unknown as DataSource;
    const log = new ChangeLog({ dataSource, source: "identity" });
    const hung = log.head();
    const next = log.head();
    await expect(hung).rejects.toMatchObject({ reason: "SOURCE_UNAVAILABLE" } satisfies Partial<Failure>);
    expect((await next).revision).toBe(7);
  });
});

describe("a database", () => {
  it("is migrated once by replicas that start together", async () => {
    const ledgers = await Promise.all([open("together"), open("together"), open("together")]);
    const rows = await ledgers[0]!.dataSource.query("SELECT name FROM migrations");
    expect(rows).toEqual([{ name: "Things1700000000000" }]);
    const incarnations = await Promise.all(ledgers.map(({ log }) => log.head()));
    expect(new Set(incarnations.map(({ incarnation }) => incarnation)).size).toBe(1);
  });
});
