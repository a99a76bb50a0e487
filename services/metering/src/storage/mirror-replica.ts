import type { AccountNode, KeyNode } from "@gatehouse/access";
import type { ChangeLog, Position, Replica } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import type { LimitTerms } from "../domain/limit.ts";
import { putOrganizationPlans, putPlans } from "./mirror-plans.ts";
import { accountRow, keyRow } from "./mirror-row.ts";

/** A thing of identity's, as the feed carries it. */
export type MirrorEntity =
  | { readonly kind: "ACCOUNT"; readonly account: AccountNode }
  | { readonly kind: "KEY"; readonly key: KeyNode }
  | { readonly kind: "METER"; readonly name: string; readonly isDeleted: boolean }
  /** No limits: the plan is gone. */
  | { readonly kind: "PLAN"; readonly name: string; readonly limits: readonly LimitTerms[] | undefined };

/** A change of identity's; `entity` is undefined for kinds that metering does not know. */
export interface MirrorChange {
  readonly revision: bigint;
  readonly entity: MirrorEntity | undefined;
}

/** Everything, in pages, as of one position. Accounts come before the accounts and keys below them. */
export type MirrorSnapshot = () => AsyncIterable<{
  readonly position: Position;
  readonly entities: readonly MirrorEntity[];
}>;

/** While a snapshot streams in, its transaction idles between pages. */
const SNAPSHOT_IDLE_MS = 10_000;

/**
 * The mirror in the database, kept by all replicas of metering together. The position moves in the transaction
 * of the changes, and only from where they begin: of two replicas that apply the same page one finds the
 * position moved, and takes it from there.
 */
export class MirrorReplica implements Replica<MirrorChange> {
  readonly #manager: EntityManager;
  readonly #log: ChangeLog;
  readonly #snapshot: MirrorSnapshot;

  constructor(manager: EntityManager, log: ChangeLog, snapshot: MirrorSnapshot) {
    this.#manager = manager;
    this.#log = log;
    this.#snapshot = snapshot;
  }

  position(): Promise<Position | undefined> {
    return readPosition(this.#manager);
  }

  async apply(after: Position, changes: readonly MirrorChange[]): Promise<Position> {
    const to = { incarnation: after.incarnation, revision: Number(changes.at(-1)!.revision) };
    const { value } = await this.#log.commit(async ({ manager }) => {
      const moved = await manager.query<[unknown[], number]>(
        `UPDATE feed_position SET revision = $3
         WHERE source = 'identity' AND incarnation = $1 AND revision = $2`,
        [after.incarnation, after.revision, to.revision],
      );
      if (moved[1] === 0) return (await readPosition(manager)) ?? after;
      await putEntities(
        manager,
        changes.flatMap(({ entity }) => entity ?? []),
      );
      return to;
    });
    return value;
  }

  async restart(_head: Position): Promise<Position> {
    const before = await this.position();
    const { value } = await this.#log.commit(async ({ manager }) => {
      await manager.query(`SET LOCAL idle_in_transaction_session_timeout = ${SNAPSHOT_IDLE_MS}`);
      await manager.query("SELECT pg_advisory_xact_lock(hashtextextended('identity mirror', 0))");
      // Locked: a page of the history before, applied meanwhile by another replica, would outlive the DELETEs.
      const now = await readPosition(manager, "FOR UPDATE");
      // Another replica has begun again meanwhile; the next proof tells whether that was enough.
      if (now !== undefined && !samePosition(now, before)) return now;
      return this.#replace(manager);
    });
    return value;
  }

  async #replace(manager: EntityManager): Promise<Position> {
    await manager.query("DELETE FROM key");
    await manager.query("DELETE FROM account");
    await manager.query("DELETE FROM meter");
    const plans: string[] = [];
    let position: Position | undefined;
    for await (const page of this.#snapshot()) {
      position = page.position;
      await putEntities(manager, page.entities);
      plans.push(...page.entities.flatMap((entity) => (entity.kind === "PLAN" ? entity.name : [])));
    }
    // Not before: a plan that stays as it was leaves its organizations as they are.
    await manager.query("DELETE FROM plan WHERE name <> ALL($1)", [plans]);
    if (position === undefined) throw new Error("the snapshot was empty");
    await manager.query(
      `INSERT INTO feed_position (source, incarnation, revision) VALUES ('identity', $1, $2)
       ON CONFLICT (source) DO UPDATE SET incarnation = $1, revision = $2`,
      [position.incarnation, position.revision],
    );
    return position;
  }
}

async function readPosition(
  manager: EntityManager,
  lock: "" | "FOR UPDATE" = "",
): Promise<Position | undefined> {
  const [row] = await manager.query<{ incarnation: string; revision: string }[]>(
    `SELECT incarnation, revision FROM feed_position WHERE source = 'identity' ${lock}`,
  );
  return row && { incarnation: row.incarnation, revision: Number(row.revision) };
}

function samePosition(a: Position, b: Position | undefined): boolean {
  return a.incarnation === b?.incarnation && a.revision === b.revision;
}

// Of several states of one thing in a page, all are of the same head: the last one stands for all.
async function putEntities(manager: EntityManager, entities: readonly MirrorEntity[]): Promise<void> {
  const accounts = new Map<string, AccountNode>();
  const keys = new Map<string, KeyNode>();
  const meters = new Map<string, boolean>();
  const plans = new Map<string, readonly LimitTerms[] | undefined>();
  for (const entity of entities) {
    if (entity.kind === "ACCOUNT") accounts.set(entity.account.id, entity.account);
    else if (entity.kind === "KEY") keys.set(entity.key.id, entity.key);
    else if (entity.kind === "METER") meters.set(entity.name, entity.isDeleted);
    else plans.set(entity.name, entity.limits);
  }
  await putPlans(manager, plans);
  await putAccounts(manager, [...accounts.values()]);
  await putKeys(manager, [...keys.values()]);
  await putMeters(manager, meters);
}

async function putAccounts(manager: EntityManager, accounts: readonly AccountNode[]): Promise<void> {
  if (accounts.length === 0) return;
  const paths = await pathsOf(manager, accounts);
  const rows = accounts.map((account) => accountRow(account, paths.get(account.id)!));
  await manager.query(
    `INSERT INTO account SELECT * FROM jsonb_populate_recordset(NULL::account, $1::jsonb)
     ON CONFLICT (id) DO UPDATE SET names = excluded.names, node = excluded.node`,
    [JSON.stringify(rows)],
  );
  await putOrganizationPlans(manager, accounts);
}

async function pathsOf(
  manager: EntityManager,
  accounts: readonly AccountNode[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const parents = accounts.flatMap(({ parentId }) => parentId ?? []);
  const known = await manager.query<{ id: string; path: string[] }[]>(
    "SELECT id, path FROM account WHERE id = ANY($1)",
    [parents],
  );
  const paths = new Map<string, readonly string[]>(known.map(({ id, path }) => [id, path]));
  for (const { id, parentId } of accounts) {
    const above = parentId === undefined ? [] : paths.get(parentId);
    if (above === undefined) throw new Error(`the feed names account ${id} before its parent`);
    paths.set(id, [id, ...above]);
  }
  return paths;
}

async function putKeys(manager: EntityManager, keys: readonly KeyNode[]): Promise<void> {
  if (keys.length === 0) return;
  await manager.query(
    `INSERT INTO key SELECT * FROM jsonb_populate_recordset(NULL::key, $1::jsonb)
     ON CONFLICT (id) DO UPDATE SET hashes = excluded.hashes, node = excluded.node`,
    [JSON.stringify(keys.map(keyRow))],
  );
}

async function putMeters(manager: EntityManager, meters: ReadonlyMap<string, boolean>): Promise<void> {
  if (meters.size === 0) return;
  const named = (deleted: boolean) => [...meters].flatMap(([name, is]) => (is === deleted ? name : []));
  await manager.query("INSERT INTO meter (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", [
    named(false),
  ]);
  await manager.query("DELETE FROM meter WHERE name = ANY ($1)", [named(true)]);
}
