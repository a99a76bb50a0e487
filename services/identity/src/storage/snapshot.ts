import type { ChangeLog } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import type { Entity, Position } from "../domain/feed.ts";
import { withinBytes } from "../domain/page-size.ts";
import { type AccountRow, accountOf, accountRows } from "./account-row.ts";
import { definitionOf, definitionRows } from "./definition-row.ts";
import { type KeyRow, keyOf, keyRows } from "./key-row.ts";

/** Entities of one message at most. */
const PAGE = 500;
/**
 * How long a follower may take over one message. The transaction holds no lock that anyone waits for; it only
 * keeps old row versions alive.
 */
const READER_IDLE_MS = 30_000;

interface Part {
  readonly position: Position;
  readonly entities: Entity[];
}

/**
 * Streams everything that followers keep, as of one position: a page is read when the one before it has been
 * taken.
 */
export async function* streamSnapshot(changeLog: ChangeLog): AsyncGenerator<Part> {
  // Hands pages over from inside the transaction's callback, one at a time.
  const { readable, writable } = new TransformStream<Part, Part>();
  const writer = writable.getWriter();
  const reading = changeLog
    .snapshot(async (manager, position) => {
      await manager.query(`SET LOCAL idle_in_transaction_session_timeout = ${READER_IDLE_MS}`);
      for await (const entities of pages(manager)) await writer.write({ position, entities });
    })
    .then(
      () => writer.close(),
      (error: unknown) => writer.abort(error),
    )
    // Aborted or closed already: the reader went away, or has the error.
    .catch(() => {});
  try {
    yield* readable;
  } finally {
    await reading;
  }
}

async function* pages(manager: EntityManager): AsyncGenerator<Entity[]> {
  const meters = await manager.findBy(definitionRows, { kind: "meter" });
  // Even an empty system has one part, so that a follower learns the position.
  yield meters.map(({ name }): Entity => ({ kind: "meter", meter: { name } }));
  for (const row of await manager.findBy(definitionRows, { kind: "api" })) {
    const { name, body } = definitionOf(row, "api");
    yield [{ kind: "api", name, endpoints: body.endpoints }];
  }
  // Before the organizations that have them.
  for (const row of await manager.findBy(definitionRows, { kind: "plan" })) {
    const { name, body } = definitionOf(row, "plan");
    yield [{ kind: "plan", name, defaultLimits: body.defaultLimits }];
  }
  for (let depth = 1, more = true; more; depth++) {
    more = false;
    for await (const page of accountsAt(manager, depth)) {
      more = true;
      yield page;
    }
  }
  yield* rowsById(
    (after) => pageAfter<KeyRow>(manager, keyRows.options.name, after).getMany(),
    (row) => ({ kind: "key", key: keyOf(row) }),
  );
}

// By depth, not by id alone: replicas' clocks differ, and an account may have an older id than the one above it.
function accountsAt(manager: EntityManager, depth: number): AsyncGenerator<Entity[]> {
  return rowsById(
    (after) =>
      pageAfter<AccountRow>(manager, accountRows.options.name, after)
        .andWhere("cardinality(entity.path) = :depth", { depth })
        .getMany(),
    (row) => ({ kind: "account", account: accountOf(row) }),
  );
}

async function* rowsById<Row extends { id: string }>(
  read: (after: string) => Promise<Row[]>,
  entityOf: (row: Row) => Entity,
): AsyncGenerator<Entity[]> {
  for (let after = ""; ; ) {
    const rows = withinBytes(await read(after));
    if (rows.length === 0) return;
    yield rows.map(entityOf);
    after = rows.at(-1)!.id;
  }
}

function pageAfter<Row extends { id: string }>(manager: EntityManager, name: string, after: string) {
  return manager
    .createQueryBuilder<Row>(name, "entity")
    .where("entity.id > :after", { after })
    .orderBy("entity.id")
    .limit(PAGE);
}
