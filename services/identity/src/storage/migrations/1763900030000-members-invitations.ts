import type { MigrationInterface, QueryRunner } from "typeorm";

/** Members and invitations: three new tables and an index on few rows of `key`, which is locked while it is read. */
export class MembersInvitations1763900030000 implements MigrationInterface {
  readonly name = "MembersInvitations1763900030000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE "user" (
        id              text COLLATE "C" PRIMARY KEY,
        -- For the provider's own people: the root.
        organization_id text COLLATE "C" NOT NULL REFERENCES account,
        subject         text COLLATE "C" NOT NULL,
        created_at      timestamptz NOT NULL,
        CONSTRAINT user_subject_key UNIQUE (organization_id, subject)
      );

      CREATE TABLE membership (
        account_id text COLLATE "C" NOT NULL REFERENCES account,
        user_id    text COLLATE "C" NOT NULL REFERENCES "user",
        email      text NOT NULL,
        roles      text[] NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (account_id, user_id)
      );

      CREATE TABLE invitation (
        id         text COLLATE "C" PRIMARY KEY,
        account_id text COLLATE "C" NOT NULL REFERENCES account,
        email      text NOT NULL,
        roles      text[] NOT NULL,
        key_kind   text NOT NULL CHECK (key_kind IN ('MASTER', 'ACCOUNT')),
        state      text NOT NULL CHECK (state IN ('PENDING', 'ACCEPTED', 'REVOKED')),
        token_hash text NOT NULL,
        invited_by text COLLATE "C" NOT NULL REFERENCES key,
        expires_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        -- A settled one has nothing to accept it with.
        CHECK ((state = 'PENDING') = (token_hash <> ''))
      );
      CREATE INDEX invitation_account_idx ON invitation (account_id, id);
      CREATE INDEX invitation_pending_idx ON invitation (account_id, expires_at) WHERE state = 'PENDING';

      CREATE INDEX key_personal_idx ON key (account_id, user_id, id)
        WHERE user_id IS NOT NULL AND status <> 'REVOKED';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX key_personal_idx; DROP TABLE invitation, membership, "user"`);
  }
}
