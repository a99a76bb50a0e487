import type { Tx } from "@gatehouse/changefeed";
import { mintId } from "@gatehouse/keys";
import type { EntityManager } from "typeorm";
import type { Account } from "../domain/accounts/account.ts";
import type { Member } from "../domain/members/member.ts";
import type { MemberReads, MemberWrites } from "../domain/members/member-store.ts";
import type { Page } from "../domain/store.ts";

interface MemberRow {
  account_id: string;
  user_id: string;
  subject: string;
  email: string;
  roles: string[];
  key_ids: string[];
  created_at: Date;
  updated_at: Date;
}

const selectMembers = `
  SELECT m.*, u.subject, array(SELECT k.id FROM key k
           WHERE k.account_id = m.account_id AND k.user_id = m.user_id AND k.status <> 'REVOKED'
           ORDER BY k.id) AS key_ids
  FROM membership m JOIN "user" u ON u.id = m.user_id`;

/** Memberships, read through one connection or transaction, each with its personal keys in one statement. */
export class MemberReader implements MemberReads {
  protected readonly manager: EntityManager;

  constructor(manager: EntityManager) {
    this.manager = manager;
  }

  async find(accountId: string, userId: string): Promise<Member | undefined> {
    const [row] = await this.manager.query<MemberRow[]>(
      `${selectMembers} WHERE m.account_id = $1 AND m.user_id = $2`,
      [accountId, userId],
    );
    return row && memberOf(row);
  }

  async list(accountId: string, { after, limit }: Page): Promise<Member[]> {
    const rows = await this.manager.query<MemberRow[]>(
      `${selectMembers} WHERE m.account_id = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3`,
      [accountId, after, limit],
    );
    return rows.map(memberOf);
  }
}

/** Memberships in a change. Followers know only the keys: what changes of those is put on the change log. */
export class MemberWriter extends MemberReader implements MemberWrites {
  readonly #tx: Tx;

  constructor(tx: Tx) {
    super(tx.manager);
    this.#tx = tx;
  }

  // The update changes nothing; it makes the statement answer the row that is there.
  async userOf({ id, organizationId = id }: Account, subject: string, at: Date): Promise<string> {
    const [user] = await this.manager.query<[{ id: string }]>(
      `INSERT INTO "user" (id, organization_id, subject, created_at) VALUES ($1, $2, $3, $4)
       ON CONFLICT (organization_id, subject) DO UPDATE SET subject = EXCLUDED.subject RETURNING id`,
      [mintId("usr"), organizationId, subject, at],
    );
    return user.id;
  }

  async put(member: Member): Promise<void> {
    const { accountId, userId, email, roles, createdAt, updatedAt } = member;
    await this.manager.query(
      `INSERT INTO membership (account_id, user_id, email, roles, created_at, updated_at)
       VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (account_id, user_id) DO UPDATE
         SET email = EXCLUDED.email, roles = EXCLUDED.roles, updated_at = EXCLUDED.updated_at`,
      [accountId, userId, email, [...roles], createdAt, updatedAt],
    );
  }

  async setRoles(accountId: string, userId: string, roles: readonly string[], at: Date): Promise<void> {
    await this.manager.query(
      "UPDATE membership SET roles = $3, updated_at = $4 WHERE account_id = $1 AND user_id = $2",
      [accountId, userId, [...roles], at],
    );
    const [keys] = await this.manager.query<[{ id: string }[], number]>(
      `UPDATE key SET roles = $3, updated_at = $4
       WHERE account_id = $1 AND user_id = $2 AND status <> 'REVOKED' RETURNING id`,
      [accountId, userId, [...roles], at],
    );
    for (const { id } of keys) this.#tx.changed("key", id);
  }

  async delete(accountId: string, userId: string): Promise<void> {
    await this.manager.query("DELETE FROM membership WHERE account_id = $1 AND user_id = $2", [
      accountId,
      userId,
    ]);
  }

  async freeKeyName(accountId: string, base: string, attempts: number): Promise<string | undefined> {
    const [row] = await this.manager.query<{ name: string }[]>(
      `SELECT name FROM (SELECT n, $2 || CASE WHEN n = 1 THEN '' ELSE ' ' || n END AS name
                         FROM generate_series(1, $3::int) AS n) AS tried
       WHERE NOT EXISTS (SELECT FROM key k
         WHERE k.account_id = $1 AND k.name = tried.name AND k.status <> 'REVOKED')
       ORDER BY n LIMIT 1`,
      [accountId, base, attempts],
    );
    return row?.name;
  }
}

function memberOf(row: MemberRow): Member {
  return {
    userId: row.user_id,
    accountId: row.account_id,
    email: row.email,
    subject: row.subject,
    roles: row.roles,
    keyIds: row.key_ids,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
