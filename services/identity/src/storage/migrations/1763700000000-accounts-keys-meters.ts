import { changeLogDown, changeLogUp } from "@gatehouse/changefeed";
import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Ids sort by character code, which is by time; so their columns are of collation "C" and a list in the order
 * of creation is a walk along an index.
 */
export class AccountsKeysMeters1763700000000 implements MigrationInterface {
  readonly name = "AccountsKeysMeters1763700000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(changeLogUp);
    await runner.query(accountsUp);
    await runner.query(keysUp);
    await runner.query(restUp);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE replay, audit_event, meter, key, account");
    await runner.query(changeLogDown);
  }
}

const accountsUp = `
  CREATE TABLE account (
    id                text COLLATE "C" PRIMARY KEY,
    parent_id         text COLLATE "C" REFERENCES account,
    organization_id   text COLLATE "C" REFERENCES account,
    path              text[] COLLATE "C" NOT NULL,
    slug_space        text COLLATE "C" NOT NULL,
    slug              text COLLATE "C" NOT NULL,
    name              text NOT NULL,
    status            text NOT NULL CHECK (status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')),
    suspension_reason text NOT NULL,
    plan              text NOT NULL,
    profile           jsonb NOT NULL,
    labels            jsonb NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CONSTRAINT account_slug_key UNIQUE (slug_space, slug)
  );
  -- There is one root.
  CREATE UNIQUE INDEX account_root_key ON account ((true)) WHERE parent_id IS NULL;
  CREATE INDEX account_parent_idx ON account (parent_id, id);
  CREATE INDEX account_organization_idx ON account (organization_id, id);
  CREATE INDEX account_labels_idx ON account USING gin (labels jsonb_path_ops);
`;

const keysUp = `
  CREATE TABLE key (
    id            text COLLATE "C" PRIMARY KEY,
    account_id    text COLLATE "C" NOT NULL REFERENCES account,
    parent_key_id text COLLATE "C" REFERENCES key,
    kind          text NOT NULL CHECK (kind IN ('MASTER', 'ACCOUNT', 'SUB')),
    status        text NOT NULL CHECK (status IN ('ENABLED', 'DISABLED', 'REVOKED')),
    name          text COLLATE "C" NOT NULL,
    masked        text NOT NULL,
    secret_hashes text[] NOT NULL,
    roles         text[] NOT NULL,
    scopes        text[] NOT NULL,
    labels        jsonb NOT NULL,
    not_before    timestamptz,
    expires_at    timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CHECK ((kind = 'SUB') = (parent_key_id IS NOT NULL)),
    CHECK (status <> 'REVOKED' OR secret_hashes = '{}')
  );
  CREATE UNIQUE INDEX key_name_key ON key (account_id, name) WHERE status <> 'REVOKED';
  CREATE INDEX key_account_idx ON key (account_id, id);
  -- An account that mints and revokes every day must not walk over years of revoked keys to list ten living ones.
  CREATE INDEX key_living_idx ON key (account_id, id) WHERE status <> 'REVOKED';
  CREATE INDEX key_parent_idx ON key (parent_key_id) WHERE parent_key_id IS NOT NULL;
  CREATE INDEX key_enabled_idx ON key (account_id, kind) WHERE status = 'ENABLED';
  CREATE INDEX key_labels_idx ON key USING gin (labels jsonb_path_ops);
`;

const restUp = `
  CREATE TABLE meter (
    name       text COLLATE "C" PRIMARY KEY,
    title      text NOT NULL,
    unit       text NOT NULL,
    created_at timestamptz NOT NULL
  );

  CREATE TABLE audit_event (
    id               text COLLATE "C" PRIMARY KEY,
    at               timestamptz NOT NULL,
    actor_key_id     text COLLATE "C" NOT NULL,
    actor_account_id text COLLATE "C" NOT NULL,
    action           text NOT NULL,
    target           text NOT NULL,
    outcome          text NOT NULL,
    before           jsonb,
    after            jsonb
  );
  CREATE INDEX audit_event_actor_idx ON audit_event (actor_account_id, id);
  CREATE INDEX audit_event_target_idx ON audit_event (target, id);

  CREATE TABLE replay (
    caller_account_id text COLLATE "C" NOT NULL,
    rpc               text NOT NULL,
    idempotency_key   text NOT NULL,
    digest            text NOT NULL,
    account_id        text COLLATE "C" NOT NULL,
    key_id            text COLLATE "C" NOT NULL,
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (caller_account_id, rpc, idempotency_key)
  );
  CREATE INDEX replay_created_idx ON replay (created_at);
`;
