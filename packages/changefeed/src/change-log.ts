import { withDeadline } from "@gatehouse/service";
import { Failure, unavailable } from "@gatehouse/service/failure";
import type { PoolClient } from "pg";
import { type DataSource, type EntityManager, QueryFailedError } from "typeorm";
import { encodeFreshness, type FeedName, type Position, positionOf } from "./position.ts";
import { SharedRead } from "./shared-read.ts";
import { Tx } from "./tx.ts";

/**
 * A mutation that meets a lock or a deadlock is run again, so that a passing tangle is not the caller's
 * problem; after this many runs it is (ABORTED, BUSY).
 */
const MAX_RUNS = 4;
const lockNotAvailable = "55P03";
const deadlockDetected = "40P01";
const serializationFailure = "40001";
const checkViolation = "23514";

/** Changes that followers may read; a follower further behind starts over. */
const RETAINED_CHANGES = 1_000_000;

/** Changes deleted by one statement: some tens of milliseconds. */
const TRIM_SLICE = 10_000;

/**
 * All followers share this read: on a connection whose other end is gone it would hang them all. Given up, it
 * keeps that connection until it breaks, and the next read gets another.
 */
const HEAD_TIMEOUT_MS = 1000;

/** A row of the log. The entity's state is read beside it, by whoever lists changes. */
export interface ChangeRow {
  readonly revision: number;
  readonly kind: string;
  readonly entityId: string;
}

export interface ChangeLogOptions {
  readonly dataSource: DataSource;
  readonly source: FeedName;
  /** Called after each commit with what changed. Must not throw: the commit stands. */
  readonly ring?: (entityIds: readonly string[]) => void;
}

interface Commit<T> {
  readonly value: T;
  readonly changedIds: readonly string[];
  readonly position: Position;
}

/** The writer's end of the feed: commits mutations, hands out revisions, reads the log. */
export class ChangeLog {
  readonly source: FeedName;
  readonly #dataSource: DataSource;
  readonly #ring: (entityIds: readonly string[]) => void;
  readonly #head: SharedRead<Position>;

  constructor({ dataSource, source, ring = () => {} }: ChangeLogOptions) {
    this.#dataSource = dataSource;
    this.source = source;
    this.#ring = ring;
    this.#head = new SharedRead(() =>
      withDeadline(readHead(dataSource.manager), HEAD_TIMEOUT_MS, () =>
        unavailable("the log does not answer"),
      ),
    );
  }

  /**
   * Runs `work` in a transaction and commits it with its changes. `work` may run more than once: it has no
   * effect outside `tx`. Answers the freshness token of the commit; of the head, if nothing changed.
   * Throws what `work` throws, and Failure ABORTED (BUSY).
   */
  async commit<T>(work: (tx: Tx) => Promise<T>): Promise<{ value: T; freshness: string }> {
    const { value, changedIds, position } = await this.#commitUnlessBusy(work);
    if (changedIds.length > 0) this.#ring(changedIds);
    return { value, freshness: encodeFreshness(this.source, position) };
  }

  /**
   * The head, read from the primary in a read begun after this call, shared by all who wait for it.
   * Throws Failure SOURCE_UNAVAILABLE.
   */
  head(): Promise<Position> {
    return this.#head.read();
  }

  /** Reads in one snapshot, with the position that it is true at. */
  async snapshot<T>(work: (manager: EntityManager, position: Position) => Promise<T>): Promise<T> {
    const runner = this.#dataSource.createQueryRunner();
    try {
      await runner.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      const value = await work(runner.manager, await readHead(runner.manager));
      await runner.query("COMMIT");
      return value;
    } catch (error) {
      await runner.query("ROLLBACK").catch(() => {});
      throw error;
    } finally {
      await runner.release();
    }
  }

  async #commitUnlessBusy<T>(work: (tx: Tx) => Promise<T>): Promise<Commit<T>> {
    for (let run = 1; ; run++) {
      try {
        return await this.#commitOnce(work);
      } catch (error) {
        if (!isContention(error)) throw error;
        if (run === MAX_RUNS) throw busy(error);
      }
    }
  }

  async #commitOnce<T>(work: (tx: Tx) => Promise<T>): Promise<Commit<T>> {
    const runner = this.#dataSource.createQueryRunner();
    const client = (await stated("connect", () => runner.connect())) as PoolClient;
    try {
      await stated("BEGIN", (text) => client.query(text));
      const tx = new Tx(runner.manager);
      const value = await work(tx);
      await tx.writeChanges();
      const position = await commitAndReadRevision(client);
      return { value, changedIds: tx.changedIds, position };
    } catch (error) {
      // A connection that cannot even roll back is lost; the pool sees that by itself.
      await client.query("ROLLBACK").catch(() => {});
      throw error;
    } finally {
      await runner.release();
    }
  }
}

/**
 * The changes right after a position, oldest first, at most `limit`. Call it inside `snapshot`, so that what
 * is read beside them is true at the same head.
 * Throws Failure OUT_OF_RANGE (LOG_TRUNCATED) where the log cannot say what followed the position.
 */
export async function changesAfter(
  manager: EntityManager,
  head: Position,
  after: Position,
  limit: number,
): Promise<ChangeRow[]> {
  const [{ tail }] = await manager.query<[{ tail: string }]>("SELECT tail FROM feed_head");
  if (
    after.incarnation !== head.incarnation ||
    after.revision > head.revision ||
    after.revision < Number(tail)
  ) {
    throw new Failure({
      code: "OUT_OF_RANGE",
      reason: "LOG_TRUNCATED",
      message: "the log does not say what followed this position; begin again from the head",
    });
  }
  const rows = await manager.query<{ revision: string; kind: string; entity_id: string }[]>(
    "SELECT revision, kind, entity_id FROM change_log WHERE revision > $1 ORDER BY revision LIMIT $2",
    [after.revision, limit],
  );
  return rows.map((row) => ({ revision: Number(row.revision), kind: row.kind, entityId: row.entity_id }));
}

/**
 * Forgets changes that are more than `retained` behind the head. Followers further behind start over.
 *
 * Not in one transaction, and `manager` must not be in one: every commit needs the counter row, which is held only
 * while the tail moves. Rows at or below the tail are read by nobody, so they can go after that, a slice at a time;
 * what an interrupted run left goes with the next.
 */
export async function trimChanges(manager: EntityManager, retained = RETAINED_CHANGES): Promise<void> {
  await manager.query("UPDATE feed_head SET tail = revision - $1 WHERE tail < revision - $1", [retained]);
  for (let deleted = TRIM_SLICE; deleted === TRIM_SLICE; ) {
    [, deleted] = await manager.query<[unknown, number]>(
      `DELETE FROM change_log WHERE revision IN
         (SELECT revision FROM change_log WHERE revision <= (SELECT tail FROM feed_head) ORDER BY revision LIMIT $1)`,
      [TRIM_SLICE],
    );
  }
}

async function readHead(manager: EntityManager): Promise<Position> {
  const [row] = await manager.query<[{ incarnation: string; revision: string }]>(
    "SELECT incarnation, revision FROM feed_head",
  );
  return positionOf(row);
}

// One message: from the trigger's lock on the counter to the commit, nothing waits for this client.
async function commitAndReadRevision(client: PoolClient): Promise<Position> {
  const results = (await stated(
    "SET CONSTRAINTS ALL IMMEDIATE; SELECT incarnation, revision FROM feed_head; COMMIT",
    (text) => client.query(text),
  )) as { rows: { incarnation: string; revision: string }[] }[];
  return positionOf(results[1]!.rows[0]!);
}

// Fails as TypeORM's statements do: what lost its connection, or got none, is told from a fault by that.
async function stated(text: string, run: (text: string) => Promise<unknown>): Promise<unknown> {
  try {
    return await run(text);
  } catch (error) {
    throw new QueryFailedError(text, [], error as Error);
  }
}

function isContention(error: unknown): boolean {
  const code = sqlState(error);
  if (code === lockNotAvailable || code === deadlockDetected || code === serializationFailure) return true;
  return code === checkViolation && isOfPartition(error);
}

// A row was on its way into a partition, beside which the one that it belongs into was attached: run again, it finds
// that. A table's own rules have names.
function isOfPartition(error: unknown): boolean {
  const { constraint, driverError } = error as { constraint?: string; driverError?: { constraint?: string } };
  return (driverError?.constraint ?? constraint) === undefined;
}

/** The SQLSTATE of a database error, whether the driver's own or wrapped by TypeORM. */
export function sqlState(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, driverError } = error as { code?: unknown; driverError?: { code?: unknown } };
  const state = driverError?.code ?? code;
  return typeof state === "string" ? state : undefined;
}

function busy(cause: unknown): Failure {
  return new Failure({
    code: "ABORTED",
    reason: "BUSY",
    message: "what this changes was busy; try again",
    cause,
  });
}
