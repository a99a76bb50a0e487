import type { EntityManager } from "typeorm";

export interface Gates {
  /** Nodes whose state the mutation relies on. */
  readonly reliedOn?: readonly string[];
  /** Nodes that it changes, or whose children it counts. */
  readonly changed?: readonly string[];
}

/** A mutation under way: its reads and writes, the gates it holds, and what it changes. */
export class Tx {
  readonly manager: EntityManager;
  readonly #changes = new Map<string, { readonly kind: string; readonly entityId: string }>();

  constructor(manager: EntityManager) {
    this.manager = manager;
  }

  /**
   * Keeps nodes as they are until the transaction ends. Call it before reading their state: once, and once more for
   * gates that every mutation takes last, so that a crowded one is held no longer than it must be.
   *
   * These are advisory locks and not FOR SHARE, because those starve: a row's share lockers keep coming in
   * past a waiting UPDATE, and a revoke was seen to wait 7.8 s behind 36 of them without ever meeting
   * lock_timeout. The queue of an advisory lock is fair. The gates of one call are taken in one order, and
   * who holds a last one waits for no other: so two mutations cannot wait for each other.
   */
  async gate({ reliedOn = [], changed = [] }: Gates): Promise<void> {
    const exclusive = new Set(changed);
    const ids = [...new Set([...reliedOn, ...changed])].sort();
    await this.manager.query(
      `SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(gate) ELSE pg_advisory_xact_lock_shared(gate) END
       FROM (SELECT hashtextextended(id, 0) AS gate, bool_or(exclusive) AS exclusive
             FROM unnest($1::text[], $2::bool[]) AS g(id, exclusive) GROUP BY 1 ORDER BY 1) AS ordered`,
      [ids, ids.map((id) => exclusive.has(id))],
    );
  }

  /** Says that an entity changes; said again, it changes once. Its revision is handed out at the commit. */
  changed(kind: string, entityId: string): void {
    this.#changes.set(`${kind} ${entityId}`, { kind, entityId });
  }

  get changedIds(): readonly string[] {
    return [...this.#changes.values()].map((change) => change.entityId);
  }

  /** Writes the log rows; for ChangeLog. */
  async writeChanges(): Promise<void> {
    if (this.#changes.size === 0) return;
    const changes = [...this.#changes.values()];
    await this.manager.query(
      `INSERT INTO change_log (kind, entity_id)
       SELECT kind, entity_id FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS c(kind, entity_id, n) ORDER BY n`,
      [changes.map((change) => change.kind), changes.map((change) => change.entityId)],
    );
  }
}
