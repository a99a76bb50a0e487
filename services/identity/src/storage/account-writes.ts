import { isDeepStrictEqual } from "node:util";
import type { Tx } from "@gatehouse/changefeed";
import { alreadyExists } from "@gatehouse/service/failure";
import type { Account } from "../domain/accounts/account.ts";
import type { AccountWrites } from "../domain/store.ts";
import { ACCOUNTS_BELOW, AccountReader } from "./account-reads.ts";
import { type AccountRow, accountRow, accountRows } from "./account-row.ts";
import { violatedUnique } from "./constraint.ts";

/** Accounts in a change. Every write here puts itself on the change log. */
export class AccountWriter extends AccountReader implements AccountWrites {
  readonly #tx: Tx;

  constructor(tx: Tx) {
    super(tx.manager);
    this.#tx = tx;
  }

  async insert(account: Account): Promise<void> {
    this.#tx.changed("account", account.id);
    const row = accountRow(account);
    await this.manager.insert(accountRows, row);
    await this.reserveSlug(row.slug_space, account.slug, account.id);
  }

  async reserveSlug(space: string, slug: string, accountId: string): Promise<void> {
    const [row] = await this.manager.query<[{ taken: boolean }]>(
      `SELECT EXISTS (SELECT FROM account_slug WHERE account_id = $1 AND slug = $2)
           OR EXISTS (SELECT FROM account_slug WHERE slug_space = $3 AND slug = $2) AS taken`,
      [space, slug, accountId],
    );
    if (row.taken) throw slugTaken();
    try {
      await this.manager.query(
        "INSERT INTO account_slug (slug_space, slug, account_id) VALUES ($1, $2, $3)",
        [space, slug, accountId],
      );
    } catch (error) {
      if (violatedUnique(error) !== "account_slug_pkey") throw error;
      throw slugTaken();
    }
  }

  // Only what differs: whoever writes another column without the account's gate must not be overwritten.
  async update(before: Account, after: Account): Promise<void> {
    this.#tx.changed("account", after.id);
    const was = accountRow(before);
    const differing = Object.entries(accountRow(after)).filter(
      ([column, value]) => !isDeepStrictEqual(value, was[column as keyof AccountRow]),
    );
    await this.manager.update(accountRows, { id: after.id }, Object.fromEntries(differing));
  }

  // By the index on enabled types, whose condition it repeats.
  async disableTypeBelow(accountId: string, type: string, at: Date): Promise<number> {
    const [row] = await this.manager.query<[{ count: number }]>(
      `WITH changed AS (
         UPDATE account SET enabled_types = array_remove(enabled_types, $2), updated_at = $3
         WHERE enabled_types @> ARRAY[$2] AND enabled_types <> '{}' AND path @> ARRAY[$1] AND id <> $1
         RETURNING id)
       SELECT count(*)::int AS count FROM changed`,
      [accountId, type, at],
    );
    return row.count;
  }

  async countBelow(organizationId: string): Promise<number> {
    const [row] = await this.manager.query<[{ count: number }]>(`SELECT (${ACCOUNTS_BELOW}) AS count`, [
      organizationId,
    ]);
    return row.count;
  }

  async freeSlug(space: string, base: string, attempts: number): Promise<string | undefined> {
    const [row] = await this.manager.query<{ slug: string }[]>(
      `SELECT candidate.slug
       FROM generate_series(1, $3::int) AS n,
            LATERAL (SELECT CASE n WHEN 1 THEN $2 ELSE $2 || '-' || n END COLLATE "C" AS slug) AS candidate
       WHERE NOT EXISTS (SELECT FROM account_slug a WHERE a.slug_space = $1 AND a.slug = candidate.slug)
         AND NOT EXISTS (SELECT FROM account_slug a WHERE a.account_id = $1 AND a.slug = candidate.slug)
       ORDER BY n LIMIT 1`,
      [space, base, attempts],
    );
    return row?.slug;
  }
}

function slugTaken() {
  return alreadyExists("SLUG_TAKEN", "the slug is taken");
}
