import type { DataSource, EntityManager } from "typeorm";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";

/**
 * Tables that grow with time are partitioned by it, so that what is no longer kept goes at once: to drop a partition
 * takes milliseconds, to delete its rows would take hours and leave holes.
 *
 * A table `t` has a partition `t_20260131` for each step of time from that day on, made ahead of time; `t_default` for
 * what no other has; and `t_before_20260131` for what was there before the table was partitioned. What was written into
 * `t_default`, since nobody made a partition in time, moves into that partition when it is made.
 *
 * `partition_floor` says from when on a table is whole: what is older has been dropped.
 */
export interface PartitionedTable {
  readonly name: string;
  /** What it is partitioned by. */
  readonly column: string;
  readonly step: "DAY" | "MONTH";
  readonly keptMs: number;
  /** May rows be written, and kept, that are older than what was dropped? */
  readonly takesOlder: boolean;
  /** How much of a page new rows take: what is left is for them as they are updated. */
  readonly fillPercent: number;
}

/** What is kept of usage, and for how long. */
export function usageTables(kept: {
  readonly minutesKeptMs: number;
  readonly quartersKeptMs: number;
}): PartitionedTable[] {
  const { minutesKeptMs, quartersKeptMs } = kept;
  const usage = { column: "start", fillPercent: UPDATED_FILL_PERCENT } as const;
  return [
    { name: "usage_minute", ...usage, step: "DAY", keptMs: minutesKeptMs, takesOlder: false },
    { name: "usage_quarter", ...usage, step: "MONTH", keptMs: quartersKeptMs, takesOlder: true },
    { name: "usage_account", ...usage, step: "MONTH", keptMs: quartersKeptMs, takesOlder: true },
    {
      name: "reported_event",
      column: "day",
      step: "DAY",
      // A day longer than events are taken: clocks may differ.
      keptMs: minutesKeptMs + DAY_MS,
      takesOlder: false,
      fillPercent: 100,
    },
  ];
}

/**
 * Of tables whose rows of the running time are updated with every batch. Where there is room in its page a row's new
 * version goes there, and no index hears of it: of 0.96 of all updates so, of 0.82 in full pages, at a tenth less
 * processor time. Half full it is 0.99, for half as much space again.
 */
export const UPDATED_FILL_PERCENT = 75;

/** SQL: from when on a table is whole. */
export function floorOf(table: string): string {
  return `(SELECT coalesce(max(floor), '-infinity') FROM partition_floor WHERE name = '${table}')`;
}

/** What changed. */
export interface Maintained {
  readonly made: readonly string[];
  readonly dropped: readonly string[];
}

const DAY_MS = 86_400_000;
/** Steps beyond the running one: a loop that fails for so long is noticed, and even then nothing is lost. */
const AHEAD = { DAY: 7, MONTH: 2 };
/** Everybody who asks for the table stands behind one who waits to drop a part of it. */
const LOCK_TIMEOUT_MS = 100;
/** Rows deleted by one statement: some tens of milliseconds. */
const MAX_DELETED = 10_000;

/**
 * Makes the partitions that will be needed and drops those that are no longer kept. Of several replicas one does it, and
 * the others find it done. Rejects where a table could not be seen to, once all others were.
 */
export async function maintainPartitions(
  dataSource: DataSource,
  tables: readonly PartitionedTable[],
  offsetMs: ClockOffset,
): Promise<Maintained> {
  const maintained = { made: [], dropped: [] };
  const failures: unknown[] = [];
  const nowMs = await readNowMs(dataSource.manager, offsetMs);
  for (const table of tables) {
    // One that is being read must not keep the others from what they need.
    await maintain(dataSource, table, nowMs, maintained).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
  return maintained;
}

async function maintain(
  dataSource: DataSource,
  table: PartitionedTable,
  nowMs: number,
  { made, dropped }: { readonly made: string[]; readonly dropped: string[] },
): Promise<void> {
  for (const startMs of wantedStarts(table, nowMs)) {
    if (await alone(dataSource, (manager) => make(manager, table, startMs))) {
      made.push(nameOf(table, startMs));
    }
  }
  const cutoffMs = nowMs - table.keptMs;
  for (;;) {
    const name = await alone(dataSource, (manager) => dropOldest(manager, table, cutoffMs));
    if (name === undefined) break;
    dropped.push(name);
  }
  if (!table.takesOlder) await deleteOlder(dataSource, table);
}

// One transaction for each table that is made or dropped: none holds locks for longer than it must.
async function alone<T>(
  dataSource: DataSource,
  work: (manager: EntityManager) => Promise<T | undefined>,
): Promise<T | undefined> {
  return dataSource.transaction(async (manager) => {
    const [row] = await manager.query<[{ taken: boolean }]>(
      "SELECT pg_try_advisory_xact_lock(hashtextextended('maintain partitions ' || current_schema(), 0)) AS taken",
    );
    if (!row.taken) return undefined;
    await manager.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    return work(manager);
  });
}

function wantedStarts({ step }: PartitionedTable, nowMs: number): number[] {
  const starts = [stepStart(step, nowMs)];
  for (let i = 0; i < AHEAD[step]; i++) starts.push(stepEnd(step, starts.at(-1)!));
  return starts;
}

async function make(manager: EntityManager, table: PartitionedTable, startMs: number) {
  const { name, column, step, fillPercent } = table;
  const parts = await partsOf(manager, table);
  if (parts.some((part) => startMs >= part.startMs && startMs < part.endMs)) return undefined;
  const part = nameOf(table, startMs);
  const [from, to] = [instant(startMs), instant(stepEnd(step, startMs))];
  // Beside the table, and then attached: that locks only what falls into no partition.
  await manager.query(`CREATE TABLE ${part} (LIKE ${name} INCLUDING ALL) WITH (fillfactor = ${fillPercent})`);
  await manager.query(`LOCK TABLE ${name}_default IN ACCESS EXCLUSIVE MODE`);
  await manager.query(
    `WITH moved AS (DELETE FROM ${name}_default WHERE ${column} >= '${from}' AND ${column} < '${to}' RETURNING *)
     INSERT INTO ${part} SELECT * FROM moved`,
  );
  await manager.query(
    `ALTER TABLE ${name} ATTACH PARTITION ${part} FOR VALUES FROM ('${from}') TO ('${to}')`,
  );
  return part;
}

async function dropOldest(manager: EntityManager, table: PartitionedTable, cutoffMs: number) {
  const parts = await partsOf(manager, table);
  const old = parts.filter(({ endMs }) => endMs <= cutoffMs).sort((a, b) => a.endMs - b.endMs)[0];
  if (old === undefined) return undefined;
  await manager.query(`DROP TABLE ${old.name}`);
  await manager.query(
    `INSERT INTO partition_floor AS f (name, floor) VALUES ($1, $2)
     ON CONFLICT (name) DO UPDATE SET floor = greatest(f.floor, excluded.floor)`,
    [table.name, instant(old.endMs)],
  );
  return old.name;
}

// What fell into no partition, and is older than the table is whole.
async function deleteOlder(dataSource: DataSource, { name, column }: PartitionedTable): Promise<void> {
  for (let deleted = MAX_DELETED; deleted === MAX_DELETED; ) {
    [, deleted] = await dataSource.query<[unknown, number]>(
      `DELETE FROM ${name}_default WHERE ctid = ANY(ARRAY(
         SELECT ctid FROM ${name}_default WHERE ${column} < ${floorOf(name)} LIMIT $1))`,
      [MAX_DELETED],
    );
  }
}

interface Part {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
}

async function partsOf(manager: EntityManager, { name, step }: PartitionedTable): Promise<Part[]> {
  const rows = await manager.query<{ part: string }[]>(
    "SELECT inhrelid::regclass::text AS part FROM pg_inherits WHERE inhparent = $1::regclass",
    [name],
  );
  return rows.flatMap(({ part }) => {
    const [, before, year, month, day] = /_(before_)?(\d{4})(\d\d)(\d\d)$/.exec(part) ?? [];
    if (year === undefined) return [];
    const atMs = Date.UTC(Number(year), Number(month) - 1, Number(day));
    if (before !== undefined) return [{ name: part, startMs: Number.NEGATIVE_INFINITY, endMs: atMs }];
    return [{ name: part, startMs: atMs, endMs: stepEnd(step, atMs) }];
  });
}

function nameOf({ name }: PartitionedTable, startMs: number): string {
  return `${name}_${instant(startMs).slice(0, 10).replaceAll("-", "")}`;
}

function stepStart(step: PartitionedTable["step"], atMs: number): number {
  const at = new Date(atMs);
  return Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), step === "DAY" ? at.getUTCDate() : 1);
}

function stepEnd(step: PartitionedTable["step"], startMs: number): number {
  return stepStart(step, startMs + (step === "DAY" ? 1 : 31) * DAY_MS);
}
