import type { Tx } from "@gatehouse/changefeed";
import { alreadyExists } from "@gatehouse/service/failure";
import type { Key } from "../domain/keys/key.ts";
import type { KeyCount, KeyWrites } from "../domain/store.ts";
import { violatedUnique } from "./constraint.ts";
import { KeyReader } from "./key-reads.ts";
import { keyRow, keyRows } from "./key-row.ts";

/** Keys in a change. Every write here that followers care about puts itself on the change log. */
export class KeyWriter extends KeyReader implements KeyWrites {
  readonly #tx: Tx;

  constructor(tx: Tx) {
    super(tx.manager);
    this.#tx = tx;
  }

  async insert(key: Key): Promise<void> {
    this.#tx.changed("key", key.id);
    await namedOnce(() => this.manager.insert(keyRows, keyRow(key)));
  }

  async update(key: Key): Promise<void> {
    this.#tx.changed("key", key.id);
    const { id, account_id: _, parent_key_id: __, kind: ___, created_at: ____, ...row } = keyRow(key);
    await namedOnce(() => this.manager.update(keyRows, { id }, row));
  }

  async setStatus(keyId: string, status: "ENABLED" | "DISABLED", at: Date): Promise<void> {
    this.#tx.changed("key", keyId);
    await this.manager.update(keyRows, { id: keyId }, { status, updated_at: at });
  }

  async revoke(keyId: string, at: Date): Promise<void> {
    const [rows] = await this.manager.query<[{ id: string }[], number]>(
      `WITH retired AS (
         INSERT INTO retired_credential (hash, at)
         SELECT unnest(secret_hashes), $2 FROM key WHERE id = $1 AND imported ON CONFLICT DO NOTHING
       )
       UPDATE key SET status = 'REVOKED', secret_hashes = '{}', retiring_hashes = '[]',
         signing = jsonb_set(signing, '{keys}', '[]'), updated_at = $2
       WHERE (id = $1 OR parent_key_id = $1) AND status <> 'REVOKED' RETURNING id`,
      [keyId, at],
    );
    for (const { id } of rows) this.#tx.changed("key", id);
  }

  // No follower knows of it, so it is not on the change log.
  async tellLeaked(keyId: string, at: Date, since: Date): Promise<boolean> {
    const [, affected] = await this.manager.query<[unknown, number]>(
      "UPDATE key SET leak_told_at = $2 WHERE id = $1 AND (leak_told_at IS NULL OR leak_told_at <= $3)",
      [keyId, at, since],
    );
    return affected > 0;
  }

  // The first conditions are those of the index.
  async isMastersRole(accountId: string, role: string): Promise<boolean> {
    const [row] = await this.manager.query<[{ held: boolean }]>(
      `SELECT EXISTS (SELECT FROM key k JOIN account a ON a.id = k.account_id
         WHERE k.kind = 'MASTER' AND k.status <> 'REVOKED' AND k.roles @> ARRAY[$2]
           AND a.path @> ARRAY[$1]) AS held`,
      [accountId, role],
    );
    return row.held;
  }

  async count(accountId: string): Promise<{ keys: KeyCount; subKeys: KeyCount }> {
    const rows = await this.manager.query<{ sub: boolean; living: string; enabled: string }[]>(
      `SELECT kind = 'SUB' AS sub, count(*) AS living, count(*) FILTER (WHERE status = 'ENABLED') AS enabled
       FROM key WHERE account_id = $1 AND status <> 'REVOKED' GROUP BY 1`,
      [accountId],
    );
    const of = (sub: boolean) => {
      const row = rows.find((each) => each.sub === sub);
      return { living: Number(row?.living ?? 0), enabled: Number(row?.enabled ?? 0) };
    };
    return { keys: of(false), subKeys: of(true) };
  }
}

/** Throws Failure NAME_TAKEN. */
async function namedOnce(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (violatedUnique(error) !== "key_name_key") throw error;
    throw alreadyExists("NAME_TAKEN", "a living key of the account has the name");
  }
}
