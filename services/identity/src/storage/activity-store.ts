import type { EntityManager } from "typeorm";
import type { ActivityStore, KeyUse } from "../domain/keys/activity.ts";

/** Activity in Postgres: one statement for each batch. */
export class DatabaseActivity implements ActivityStore {
  readonly #manager: EntityManager;

  constructor(manager: EntityManager) {
    this.#manager = manager;
  }

  // In the order of ids, so that two batches that share keys wait for each other at most once. A use that is no later
  // than the one known writes nothing. A beat arms the watch anew.
  async record(uses: readonly KeyUse[]): Promise<void> {
    await this.#manager.query(
      `INSERT INTO key_activity AS known (key_id, last_used_at, silent_from)
       SELECT k.id, used.at, used.at + k.heartbeat_timeout_ms * interval '1 millisecond'
       FROM unnest($1::text[], $2::float8[]) AS u(id, at_ms)
       JOIN key k ON k.id = u.id
       CROSS JOIN LATERAL (SELECT to_timestamp(u.at_ms / 1000) AS at) AS used
       ORDER BY k.id
       ON CONFLICT (key_id) DO UPDATE
         SET last_used_at = excluded.last_used_at, silent_from = excluded.silent_from
         WHERE known.last_used_at < excluded.last_used_at`,
      [uses.map(({ keyId }) => keyId), uses.map(({ lastUsedMs }) => lastUsedMs)],
    );
  }
}
