import type { EntityManager } from "typeorm";
import type { Nonce, NonceStore } from "../domain/keys/nonces.ts";

/** Nonces of one statement, so that a backlog holds nothing up. */
const SWEEP_SLICE = 5000;

/** Nonces in Postgres. */
export class DatabaseNonces implements NonceStore {
  readonly #manager: EntityManager;

  constructor(manager: EntityManager) {
    this.#manager = manager;
  }

  // An expired one is free, whether it has been swept or not.
  async claim({ keyId, nonce, expiresAtMs }: Nonce, nowMs: number): Promise<boolean> {
    const rows = await this.#manager.query<unknown[]>(
      `INSERT INTO nonce AS taken (key_id, nonce, expires_at) VALUES ($1, $2, $3)
       ON CONFLICT (key_id, nonce) DO UPDATE SET expires_at = excluded.expires_at WHERE taken.expires_at <= $4
       RETURNING key_id`,
      [keyId, nonce, new Date(expiresAtMs), new Date(nowMs)],
    );
    return rows.length > 0;
  }

  async sweep(nowMs: number, signal: AbortSignal): Promise<void> {
    for (let deleted = SWEEP_SLICE; deleted === SWEEP_SLICE && !signal.aborted; ) {
      [, deleted] = await this.#manager.query<[unknown, number]>(
        `DELETE FROM nonce WHERE ctid IN (SELECT ctid FROM nonce WHERE expires_at <= $1
           ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
        [new Date(nowMs), SWEEP_SLICE],
      );
    }
  }
}
