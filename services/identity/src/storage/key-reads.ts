import type { EntityManager } from "typeorm";
import type { KeyInTree } from "../domain/keys/key.ts";
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
    const [row] = await this.manager.query<(UsedKeyRow & { chain: AccountRow[] })[]>(
      `SELECT to_jsonb(k) AS key, to_jsonb(p) AS parent, used.last_used_at,
              (SELECT jsonb_agg(to_jsonb(c)) FROM account c WHERE c.id = ANY (a.path)) AS chain
       FROM key k JOIN account a ON a.id = k.account_id LEFT JOIN key p ON p.id = k.parent_key_id
       LEFT JOIN key_activity used ON used.key_id = k.id
       WHERE k.id = $1`,
      [keyId],
    );
    return row && { ...usedKeyOf(row), chain: chainOf(row.chain)! };
  }

  // A walk along an index of the account's keys from where the page begins, whatever came before it. One statement,
  // so that no key is seen with a parent key of another moment.
  async list(filter: KeyFilter, page: Page): Promise<Omit<KeyInTree, "chain">[]> {
    const { accountId, status, kind, labels, unusedSince } = filter;
    const query = this.manager
      .createQueryBuilder<KeyRow>("key", "key")
      .leftJoin("key", "parent", "parent.id = key.parent_key_id")
      .leftJoin("key_activity", "used", "used.key_id = key.id")
      .select("to_jsonb(key)", "key")
      .addSelect("to_jsonb(parent)", "parent")
      .addSelect("used.last_used_at", "last_used_at")
      .where("key.account_id = :accountId AND key.id > :after", { accountId, after: page.after })
      .orderBy("key.id")
      .limit(page.limit);
    if (status === undefined) query.andWhere("key.status <> 'REVOKED'");
    else query.andWhere("key.status = :status", { status });
    if (kind !== undefined) query.andWhere("key.kind = :kind", { kind });
    if (Object.keys(labels).length > 0) {
      query.andWhere("key.labels @> :labels::jsonb", { labels: JSON.stringify(labels) });
    }
    if (unusedSince !== undefined) {
      query.andWhere("greatest(key.created_at, used.last_used_at) < :unusedSince", { unusedSince });
    }
    return (await query.getRawMany<UsedKeyRow>()).map(usedKeyOf);
  }
}

/** A key with its parent key and its last use, as JSON. */
interface UsedKeyRow {
  key: KeyRow;
  parent: KeyRow | null;
  last_used_at: Date | null;
}

function usedKeyOf({ key, parent, last_used_at }: UsedKeyRow): Omit<KeyInTree, "chain"> {
  return {
    key: keyOf(key),
    parent: parent === null ? undefined : keyOf(parent),
    lastUsedAt: last_used_at ?? undefined,
  };
}
