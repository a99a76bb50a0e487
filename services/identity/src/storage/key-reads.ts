import type { EntityManager } from "typeorm";
import type { Key, KeyInTree } from "../domain/key.ts";
import type { KeyFilter, KeyReads, Page } from "../domain/store.ts";
import { type AccountRow, chainOf } from "./account-row.ts";
import { type KeyRow, keyOf } from "./key-row.ts";

/** Keys, read through one connection or transaction. */
export class KeyReader implements KeyReads {
  protected readonly manager: EntityManager;

  constructor(manager: EntityManager) {
    this.manager = manager;
  }

  // One statement is one snapshot: a key is never seen with a parent key or account of another moment.
  async find(keyId: string): Promise<KeyInTree | undefined> {
    const [row] = await this.manager.query<{ key: KeyRow; parent: KeyRow | null; chain: AccountRow[] }[]>(
      `SELECT to_jsonb(k) AS key, to_jsonb(p) AS parent,
              (SELECT jsonb_agg(to_jsonb(c)) FROM account c WHERE c.id = ANY (a.path)) AS chain
       FROM key k JOIN account a ON a.id = k.account_id LEFT JOIN key p ON p.id = k.parent_key_id
       WHERE k.id = $1`,
      [keyId],
    );
    if (row === undefined) return undefined;
    const parent = row.parent === null ? undefined : keyOf(row.parent);
    return { key: keyOf(row.key), parent, chain: chainOf(row.chain)! };
  }

  async list({ accountId, status, kind, labels }: KeyFilter, page: Page): Promise<Key[]> {
    const query = this.manager
      .createQueryBuilder<KeyRow>("key", "key")
      .where("key.account_id = :accountId AND key.id > :after", { accountId, after: page.after })
      .orderBy("key.id")
      .limit(page.limit);
    if (status === undefined) query.andWhere("key.status <> 'REVOKED'");
    else query.andWhere("key.status = :status", { status });
    if (kind !== undefined) query.andWhere("key.kind = :kind", { kind });
    if (Object.keys(labels).length > 0) {
      query.andWhere("key.labels @> :labels::jsonb", { labels: JSON.stringify(labels) });
    }
    return (await query.getMany()).map(keyOf);
  }
}
