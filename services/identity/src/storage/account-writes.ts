import type { AccountStatus } from "@gatehouse/access";
import type { Tx } from "@gatehouse/changefeed";
import { alreadyExists } from "@gatehouse/service/failure";
import type { Account } from "../domain/account.ts";
import type { AccountWrites } from "../domain/store.ts";
import { AccountReader } from "./account-reads.ts";
import { accountRow, accountRows } from "./account-row.ts";
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
    await this.#reserve(row.slug_space, account.slug, account.id);
  }

  /** Throws Failure SLUG_TAKEN, also where an account had it before. */
  async #reserve(space: string, slug: string, accountId: string): Promise<void> {
    try {
      await this.manager.query(
        "INSERT INTO account_slug (slug_space, slug, account_id) VALUES ($1, $2, $3)",
        [space, slug, accountId],
      );
    } catch (error) {
      if (violatedUnique(error) !== "account_slug_pkey") throw error;
      throw alreadyExists("SLUG_TAKEN", "the slug is taken");
    }
  }

  async setStatus(accountId: string, status: AccountStatus, reason: string, at: Date): Promise<void> {
    this.#tx.changed("account", accountId);
    const columns = { status, suspension_reason: reason, updated_at: at };
    await this.manager.update(accountRows, { id: accountId }, columns);
  }

  async countBelow(organizationId: string): Promise<number> {
    const [row] = await this.manager.query<[{ count: string }]>(
      "SELECT count(*) FROM account WHERE organization_id = $1 AND id <> $1 AND status <> 'CLOSED'",
      [organizationId],
    );
    return Number(row.count);
  }

  async freeSlug(space: string, base: string, attempts: number): Promise<string | undefined> {
    const [row] = await this.manager.query<{ slug: string }[]>(
      `SELECT candidate.slug
       FROM generate_series(1, $3::int) AS n,
            LATERAL (SELECT CASE n WHEN 1 THEN $2 ELSE $2 || '-' || n END COLLATE "C" AS slug) AS candidate
       WHERE NOT EXISTS (SELECT FROM account_slug a WHERE a.slug_space = $1 AND a.slug = candidate.slug)
       ORDER BY n LIMIT 1`,
      [space, base, attempts],
    );
    return row?.slug;
  }
}
