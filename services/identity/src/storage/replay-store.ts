import { type EntityManager, MoreThan } from "typeorm";
import type { Replay, ReplayName, Replays } from "../domain/store.ts";
import { replayRows } from "./replay-row.ts";

/** Forgotten with each one remembered: more than one, so that a backlog shrinks, and few enough to cost nothing. */
const FORGOTTEN_AT_ONCE = 10;

export class ReplayStore implements Replays {
  readonly #manager: EntityManager;

  constructor(manager: EntityManager) {
    this.#manager = manager;
  }

  async find(name: ReplayName, since: Date): Promise<Replay | undefined> {
    const row = await this.#manager.findOneBy(replayRows, {
      ...columnsOf(name),
      created_at: MoreThan(since),
    });
    if (row === null) return undefined;
    const { digest, account_id: accountId, key_id: keyId, key_ids: keyIds } = row;
    return { digest, accountId, keyId, ...(keyIds.length > 0 && { keyIds }) };
  }

  async remember(name: ReplayName, replay: Replay, at: Date, since: Date): Promise<void> {
    const { digest, accountId, keyId, keyIds = [] } = replay;
    const made = { digest, account_id: accountId, key_id: keyId, key_ids: [...keyIds] };
    const row = { ...columnsOf(name), ...made, created_at: at };
    await this.#manager.upsert(replayRows, row, ["caller_account_id", "rpc", "idempotency_key"]);
    // Skips what another transaction is forgetting, so that two never wait for each other here.
    await this.#manager.query(
      `DELETE FROM replay WHERE ctid IN (SELECT ctid FROM replay WHERE created_at <= $1
         ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
      [since, FORGOTTEN_AT_ONCE],
    );
  }
}

function columnsOf({ accountId, rpc, idempotencyKey }: ReplayName) {
  return { caller_account_id: accountId, rpc, idempotency_key: idempotencyKey };
}
