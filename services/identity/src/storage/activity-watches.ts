import type { EntityManager } from "typeorm";
import type { Watches } from "../domain/keys/watch-keys.ts";

/** What is due, in Postgres. Both statements walk an index that holds only what is not told yet. */
export class DatabaseWatches implements Watches {
  readonly #manager: EntityManager;

  constructor(manager: EntityManager) {
    this.#manager = manager;
  }

  async takeSilent(now: Date, limit: number): Promise<{ keyId: string; lastUsedAt: Date }[]> {
    const [rows] = await this.#manager.query<[{ key_id: string; last_used_at: Date }[], number]>(
      `UPDATE key_activity SET silent_from = NULL WHERE key_id = ANY (ARRAY
         (SELECT key_id FROM key_activity WHERE silent_from <= $1
          ORDER BY silent_from LIMIT $2 FOR UPDATE SKIP LOCKED))
       RETURNING key_id, last_used_at`,
      [now, limit],
    );
    return rows.map(({ key_id, last_used_at }) => ({ keyId: key_id, lastUsedAt: last_used_at }));
  }

  // Not FOR UPDATE: that would wait for every mutation that makes a sub-key of one of them.
  async takeExpiring(before: Date, limit: number): Promise<{ keyId: string; expiresAt: Date }[]> {
    const [rows] = await this.#manager.query<[{ id: string; expires_at: Date }[], number]>(
      `UPDATE key SET expiry_told = expires_at WHERE id = ANY (ARRAY
         (SELECT id FROM key
          WHERE status = 'ENABLED' AND expires_at IS NOT NULL AND expiry_told IS DISTINCT FROM expires_at
            AND expires_at <= $1
          ORDER BY expires_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED))
       RETURNING id, expires_at`,
      [before, limit],
    );
    return rows.map(({ id, expires_at }) => ({ keyId: id, expiresAt: expires_at }));
  }
}
