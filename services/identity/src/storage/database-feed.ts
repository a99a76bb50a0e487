import { type ChangeLog, type ChangeRow, changesAfter } from "@gatehouse/changefeed";
import { overloaded } from "@gatehouse/service/failure";
import { type EntityManager, In } from "typeorm";
import type { Entity, Feed, FeedChange, Position } from "../domain/feed.ts";
import { withinBytes } from "../domain/page-size.ts";
import type { AccountName } from "../domain/store.ts";
import { AccountReader } from "./account-reads.ts";
import { type AccountRow, accountOf, accountRows } from "./account-row.ts";
import { definitionOf, definitionRows } from "./definition-row.ts";
import { ImportedReader } from "./imported-keys.ts";
import { type KeyRow, keyOf, keyRows } from "./key-row.ts";
import { streamSnapshot } from "./snapshot.ts";

/** Each keeps a connection for as long as its reader takes; the head must always find one. */
const MAX_SNAPSHOTS = 3;

/** The feed out of Postgres: each answer is one repeatable-read snapshot, from the primary. */
export class DatabaseFeed implements Feed {
  readonly #changeLog: ChangeLog;
  #snapshots = 0;

  constructor(changeLog: ChangeLog) {
    this.#changeLog = changeLog;
  }

  head(): Promise<Position> {
    return this.#changeLog.head();
  }

  changesAfter(after: Position, limit: number): Promise<{ changes: FeedChange[]; head: Position }> {
    return this.#changeLog.snapshot(async (manager, head) => {
      const rows = await changesAfter(manager, head, after, limit);
      const entities = await readEntities(manager, rows);
      // An entity that changed twice is there twice: it costs bytes, and spares followers a special case.
      const changes = rows.map(({ revision, kind, entityId }) => ({
        revision,
        entity: entities.get(entityName(kind, entityId)) ?? gone(kind, entityId),
      }));
      return { changes: withinBytes(changes), head };
    });
  }

  resolveKeys(keyIds: readonly string[]) {
    return this.#changeLog.snapshot(async (manager, position) => ({
      position,
      ...(await readKeys(manager, keyIds)),
    }));
  }

  resolveHashes(hashes: readonly string[]) {
    return this.#changeLog.snapshot(async (manager, position) => {
      const found = await new ImportedReader(manager).find(hashes);
      const keyIds = hashes.map((hash) => found.get(hash));
      return { position, keyIds, ...(await readKeys(manager, [...found.values()])) };
    });
  }

  resolveAccounts(names: readonly AccountName[]) {
    return this.#changeLog.snapshot(async (manager, position) => {
      const accountIds = await new AccountReader(manager).resolve(names);
      const found = accountIds.filter((id) => id !== undefined);
      return { position, accountIds, accounts: await readChains(manager, found) };
    });
  }

  catalog() {
    return this.#changeLog.snapshot(async (manager, position) => {
      const rows = await manager.findBy(definitionRows, { kind: "api" });
      const apis = rows.map((row) => definitionOf(row, "api"));
      return { position, apis: apis.map(({ name, body }) => ({ name, endpoints: body.endpoints })) };
    });
  }

  meters() {
    return this.#changeLog.snapshot(async (manager, position) => {
      const rows = await manager.findBy(definitionRows, { kind: "meter" });
      return { position, names: rows.map(({ name }) => name) };
    });
  }

  async *snapshot(): AsyncGenerator<{ position: Position; entities: Entity[] }> {
    if (this.#snapshots >= MAX_SNAPSHOTS) throw overloaded("as many snapshots are being read as may be");
    this.#snapshots++;
    try {
      yield* streamSnapshot(this.#changeLog);
    } finally {
      this.#snapshots--;
    }
  }
}

/** The keys with their parent keys, and their accounts up to the root. */
async function readKeys(manager: EntityManager, keyIds: readonly string[]) {
  const keys = await manager.query<KeyRow[]>(
    `SELECT * FROM key WHERE id = ANY ($1)
     UNION ALL
     SELECT p.* FROM key p
     WHERE p.id IN (SELECT parent_key_id FROM key WHERE id = ANY ($1)) AND p.id <> ALL ($1)`,
    [keyIds],
  );
  const accounts = await readChains(
    manager,
    keys.map((key) => key.account_id),
  );
  return { keys: keys.map(keyOf), accounts };
}

/** The accounts and all their ancestors, each once. */
async function readChains(manager: EntityManager, accountIds: readonly string[]) {
  const rows = await manager.query<AccountRow[]>(
    "SELECT * FROM account WHERE id IN (SELECT unnest(path) FROM account WHERE id = ANY ($1))",
    [[...new Set(accountIds)]],
  );
  return rows.map(accountOf);
}

async function readEntities(
  manager: EntityManager,
  changes: readonly ChangeRow[],
): Promise<ReadonlyMap<string, Entity>> {
  const idsOf = (kind: string) =>
    In([...new Set(changes.filter((change) => change.kind === kind).map(({ entityId }) => entityId))]);
  const entities = new Map<string, Entity>();
  for (const row of await manager.findBy(accountRows, { id: idsOf("account") })) {
    entities.set(entityName("account", row.id), { kind: "account", account: accountOf(row) });
  }
  for (const row of await manager.findBy(keyRows, { id: idsOf("key") })) {
    entities.set(entityName("key", row.id), { kind: "key", key: keyOf(row) });
  }
  for (const { name } of await manager.findBy(definitionRows, { kind: "meter", name: idsOf("meter") })) {
    entities.set(entityName("meter", name), { kind: "meter", meter: { name } });
  }
  for (const row of await manager.findBy(definitionRows, { kind: "api", name: idsOf("api") })) {
    const { name, body } = definitionOf(row, "api");
    entities.set(entityName("api", name), { kind: "api", name, endpoints: body.endpoints });
  }
  for (const row of await manager.findBy(definitionRows, { kind: "plan", name: idsOf("plan") })) {
    const { name, body } = definitionOf(row, "plan");
    entities.set(entityName("plan", name), { kind: "plan", name, defaultLimits: body.defaultLimits });
  }
  return entities;
}

// Accounts and keys stay for good; of these there may be none any more.
function gone(kind: string, name: string): Entity {
  if (kind !== "meter" && kind !== "api" && kind !== "plan")
    throw new Error(`the ${kind} ${name} is on the log and nowhere else`);
  return { kind: "gone", of: kind, name };
}

function entityName(kind: string, entityId: string): string {
  return `${kind} ${entityId}`;
}
