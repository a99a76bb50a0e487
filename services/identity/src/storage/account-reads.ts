import type { EntityManager } from "typeorm";
import type { Account, Chain } from "../domain/accounts/account.ts";
import type { AccountFilter, AccountName, AccountReads, Page } from "../domain/store.ts";
import { type AccountRow, accountOf, chainOf } from "./account-row.ts";

/**
 * Accounts below organization $1. Those strictly between it and an account are looked at only in plans that nest deeper
 * than one: a path holds the root, the organization, them and the account.
 */
export const ACCOUNTS_BELOW = `
  SELECT count(*)::int FROM account a
  WHERE a.organization_id = $1 AND a.id <> $1 AND a.status <> 'CLOSED' AND NOT EXISTS (
    SELECT FROM unnest(a.path[3:cardinality(a.path) - 1]) AS above(id) JOIN account c USING (id)
    WHERE c.status = 'CLOSED')`;

/** Accounts, read through one connection or transaction. */
export class AccountReader implements AccountReads {
  protected readonly manager: EntityManager;

  constructor(manager: EntityManager) {
    this.manager = manager;
  }

  async find(accountId: string): Promise<Chain | undefined> {
    const rows = await this.manager.query<AccountRow[]>(
      "SELECT c.* FROM account a JOIN account c ON c.id = ANY (a.path) WHERE a.id = $1",
      [accountId],
    );
    return chainOf(rows);
  }

  // Ids have an underscore and slugs have none, so no name is both. Coalesce stops at the first that is found: what is
  // above comes first, so that nobody below takes its name.
  async resolve(names: readonly AccountName[]): Promise<(string | undefined)[]> {
    const rows = await this.manager.query<{ id: string | null }[]>(
      `SELECT coalesce(
         (SELECT id FROM account WHERE id = asked),
         CASE WHEN organization IS NOT NULL THEN coalesce(
           (SELECT account_id FROM account_slug WHERE account_id = organization AND slug = asked),
           (SELECT account_id FROM account_slug WHERE slug_space = organization AND slug = asked)
         ) ELSE coalesce(
           (SELECT root.id WHERE root.slug = asked),
           (SELECT o.account_id FROM account_slug o WHERE o.slug_space = root.id AND o.slug = asked),
           (SELECT s.account_id FROM account_slug o
            JOIN account_slug s ON s.slug_space = o.account_id AND s.slug = split_part(asked, '/', 2)
            WHERE o.slug_space = root.id AND o.slug = split_part(asked, '/', 1)
              AND asked = o.slug || '/' || s.slug)
         ) END) AS id
       FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS named(asked, organization, n)
       LEFT JOIN account root ON root.parent_id IS NULL
       ORDER BY n`,
      [names.map(({ account }) => account), names.map(({ organizationId }) => organizationId ?? null)],
    );
    return rows.map(({ id }) => id ?? undefined);
  }

  /**
   * Children, and descendants of the root and of organizations, are a walk along an index from where the page
   * begins. Of a deeper account the walk is over its organization, which its plan bounds.
   */
  async list(filter: AccountFilter, page: Page): Promise<Account[]> {
    const { parent, descendants, status, type, labels } = filter;
    const query = this.manager
      .createQueryBuilder<AccountRow>("account", "account")
      .where("account.id > :after", page)
      .orderBy("account.id")
      .limit(page.limit);
    if (!descendants) query.andWhere("account.parent_id = :id", parent);
    else if (parent.organizationId === undefined) query.andWhere("account.id <> :id", parent);
    else {
      query.andWhere("account.organization_id = :organizationId AND account.id <> :id", parent);
      if (parent.organizationId !== parent.id) query.andWhere("account.path @> ARRAY[:id]", parent);
    }
    if (status !== undefined) query.andWhere("account.status = :status", { status });
    if (type !== undefined) query.andWhere("account.type = :type", { type });
    if (Object.keys(labels).length > 0) {
      query.andWhere("account.labels @> :labels::jsonb", { labels: JSON.stringify(labels) });
    }
    return await this.#withPlans((await query.getMany()).map(accountOf), parent);
  }

  /** Accounts below an organization show its plan; a list of the root's descendants may hold those of many. */
  async #withPlans(accounts: Account[], { organizationId, plan }: Account): Promise<Account[]> {
    if (organizationId !== undefined) return accounts.map((account) => ({ ...account, plan }));
    const below = accounts.filter((account) => account.id !== account.organizationId);
    if (below.length === 0) return accounts;
    const rows = await this.manager.query<{ id: string; plan: string }[]>(
      "SELECT id, plan FROM account WHERE id = ANY ($1)",
      [[...new Set(below.map(({ organizationId }) => organizationId))]],
    );
    const plans = new Map(rows.map(({ id, plan }) => [id, plan]));
    return accounts.map((account) => ({
      ...account,
      plan: plans.get(account.organizationId!) ?? account.plan,
    }));
  }

  async planUse({ id, organizationId }: Account) {
    const [row] = await this.manager.query<[{ accounts: number; keys: number; sub_keys: number }]>(
      `SELECT (${ACCOUNTS_BELOW}) AS accounts, keys, sub_keys FROM (
         SELECT count(*) FILTER (WHERE kind <> 'SUB')::int AS keys, count(*) FILTER (WHERE kind = 'SUB')::int AS sub_keys
         FROM key WHERE account_id = $2 AND status = 'ENABLED') AS enabled`,
      [organizationId, id],
    );
    return { accounts: row.accounts, keys: row.keys, subKeys: row.sub_keys };
  }

  async any(): Promise<boolean> {
    const [row] = await this.manager.query<[{ any: boolean }]>("SELECT EXISTS (SELECT FROM account) AS any");
    return row.any;
  }
}
