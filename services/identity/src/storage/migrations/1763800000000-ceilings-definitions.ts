import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * What keys and accounts are held to. New columns have constant defaults, which Postgres adds without rewriting a
 * table; `account_slug` and the index on `key` are filled and built by one scan each, while writes to accounts and
 * keys wait: some seconds for a million of each.
 */
export class CeilingsDefinitions1763800000000 implements MigrationInterface {
  readonly name = "CeilingsDefinitions1763800000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(accountsUp);
    await runner.query(keysUp);
    await runner.query(definitionsUp);
    await runner.query(auditUp);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE audit_event DROP COLUMN account_id, DROP COLUMN account_path;
      DROP TABLE definition, account_slug;
      ALTER TABLE account DROP COLUMN type, DROP COLUMN scope_ceiling, DROP COLUMN enabled_types,
        DROP COLUMN former_slugs, DROP COLUMN isolated, DROP COLUMN leak_policy, DROP COLUMN accepted_terms,
        DROP COLUMN upstream_credential, DROP COLUMN import_prefixes, DROP COLUMN rules,
        ADD CONSTRAINT account_slug_key UNIQUE (slug_space, slug);
      ALTER TABLE key DROP COLUMN retiring_hashes, DROP COLUMN endpoints, DROP COLUMN ip_allow, DROP COLUMN ip_deny,
        DROP COLUMN denied_integrations, DROP COLUMN signing, DROP COLUMN heartbeat_timeout_ms,
        DROP COLUMN user_id, DROP COLUMN imported;
    `);
  }
}

const accountsUp = `
  ALTER TABLE account
    ADD COLUMN type                text NOT NULL DEFAULT '',
    ADD COLUMN scope_ceiling       text[] NOT NULL DEFAULT '{}',
    ADD COLUMN enabled_types       text[] NOT NULL DEFAULT '{}',
    ADD COLUMN former_slugs        text[] NOT NULL DEFAULT '{}',
    ADD COLUMN isolated            boolean NOT NULL DEFAULT false,
    ADD COLUMN leak_policy         text CHECK (leak_policy IN ('DISABLE', 'REVOKE', 'NOTIFY')),
    ADD COLUMN accepted_terms      jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN upstream_credential text NOT NULL DEFAULT '',
    ADD COLUMN import_prefixes     text[] NOT NULL DEFAULT '{}',
    ADD COLUMN rules               jsonb NOT NULL DEFAULT '{}';
  CREATE INDEX account_type_idx ON account (type) WHERE type <> '';

  -- Every slug that an account has or had: reserved for it, and naming it.
  CREATE TABLE account_slug (
    slug_space text COLLATE "C" NOT NULL,
    slug       text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL REFERENCES account,
    PRIMARY KEY (slug_space, slug)
  );
  CREATE INDEX account_slug_account_idx ON account_slug (account_id);
  INSERT INTO account_slug SELECT slug_space, slug, id FROM account;
  ALTER TABLE account DROP CONSTRAINT account_slug_key;
`;

const keysUp = `
  ALTER TABLE key
    ADD COLUMN retiring_hashes      jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN endpoints            jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN ip_allow             text[] NOT NULL DEFAULT '{}',
    ADD COLUMN ip_deny              text[] NOT NULL DEFAULT '{}',
    ADD COLUMN denied_integrations  text[] NOT NULL DEFAULT '{}',
    ADD COLUMN signing              jsonb,
    ADD COLUMN heartbeat_timeout_ms integer,
    ADD COLUMN user_id              text COLLATE "C",
    ADD COLUMN imported             boolean NOT NULL DEFAULT false;
  -- An imported key is found by its hash, and no two have the same.
  CREATE UNIQUE INDEX key_imported_key ON key ((secret_hashes[1])) WHERE imported AND status <> 'REVOKED';
  CREATE INDEX key_user_idx ON key (user_id) WHERE user_id IS NOT NULL;
`;

const definitionsUp = `
  CREATE TABLE definition (
    kind       text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL REFERENCES account,
    name       text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    body       jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (kind, account_id, name)
  );
  -- The plan that there was so far.
  INSERT INTO definition
  SELECT 'plan', id, 'default', 'pln_' || substr(id, 5), '{"title": "Default", "depth": 1, "accounts": 10000,
    "keysPerAccount": 100, "subKeysPerAccount": 1000, "features": ["SCOPING", "SUB_KEYS", "SIGNING"]}',
    created_at, created_at
  FROM account WHERE parent_id IS NULL;
`;

const auditUp = `
  -- The account that an event concerns, and the accounts above it, root first.
  ALTER TABLE audit_event
    ADD COLUMN account_id   text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN account_path text[] COLLATE "C" NOT NULL DEFAULT '{}';
  UPDATE audit_event e SET account_id = a.id, account_path = a.path
  FROM account a WHERE a.id = e.actor_account_id;
`;
