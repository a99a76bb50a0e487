import { changeLogDown, changeLogUp } from "@gatehouse/changefeed";
import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Ids and names are compared byte by byte (COLLATE "C"): ids sort by creation only so, and pages of usage need
 * one order everywhere.
 */
const mirrorUp = `
  CREATE TABLE feed_position (
    source      text   PRIMARY KEY,
    incarnation text   NOT NULL,
    revision    bigint NOT NULL
  );

  CREATE TABLE account (
    id              text COLLATE "C" PRIMARY KEY,
    parent_id       text COLLATE "C",
    organization_id text COLLATE "C",
    slug            text  NOT NULL,
    status          text  NOT NULL,
    labels          jsonb NOT NULL,
    -- Itself, then its ancestors up to the root. A parent never changes, so neither does this.
    path            text[] COLLATE "C" NOT NULL
  );
  CREATE INDEX account_path ON account USING gin (path);
  CREATE INDEX account_slug ON account (organization_id, slug);

  CREATE TABLE key (
    id            text COLLATE "C" PRIMARY KEY,
    account_id    text COLLATE "C" NOT NULL,
    parent_key_id text COLLATE "C",
    kind          text   NOT NULL,
    status        text   NOT NULL,
    name          text   NOT NULL,
    labels        jsonb  NOT NULL,
    secret_hashes text[] NOT NULL,
    roles         text[] NOT NULL,
    scopes        text[] NOT NULL,
    not_before_ms bigint,
    expires_at_ms bigint
  );

  CREATE TABLE meter (
    name text COLLATE "C" PRIMARY KEY
  );
`;

const limitsUp = `
  CREATE TABLE node_limit (
    id          text COLLATE "C" PRIMARY KEY,
    node_kind   text   NOT NULL,
    node_id     text COLLATE "C" NOT NULL,
    meter       text COLLATE "C" NOT NULL,
    resource    text COLLATE "C" NOT NULL,
    kind        text   NOT NULL,
    units       bigint NOT NULL,
    -- Of a rate.
    interval_ms bigint,
    burst       bigint,
    -- Of a quota.
    window_kind text,
    time_zone   text,
    anchor_ms   bigint,
    enforcement text   NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT node_limit_identity UNIQUE NULLS NOT DISTINCT
      (node_id, meter, resource, kind, interval_ms, window_kind)
  );

  CREATE TABLE audit_event (
    id               text COLLATE "C" PRIMARY KEY,
    at               timestamptz NOT NULL DEFAULT now(),
    actor_key_id     text NOT NULL,
    actor_account_id text NOT NULL,
    action           text NOT NULL,
    target_id        text NOT NULL,
    before           jsonb,
    after            jsonb
  );

  -- Rows of one limit never overlap: each window is written down once, as it was when it was first drawn from.
  CREATE TABLE quota_bucket (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    limit_id     text COLLATE "C" NOT NULL,
    window_start timestamptz NOT NULL,
    -- NULL: never ends.
    window_end   timestamptz,
    spent        bigint NOT NULL DEFAULT 0,
    leased       bigint NOT NULL DEFAULT 0,
    UNIQUE (limit_id, window_start)
  );

  CREATE TABLE quota_lease (
    id        text COLLATE "C" PRIMARY KEY,
    bucket_id bigint  NOT NULL,
    limit_id  text COLLATE "C" NOT NULL,
    holder    text COLLATE "C" NOT NULL,
    units     bigint  NOT NULL,
    spent     bigint  NOT NULL DEFAULT 0,
    deadline  timestamptz NOT NULL,
    closed    boolean NOT NULL DEFAULT false,
    forfeited boolean NOT NULL DEFAULT false
  );
  CREATE INDEX quota_lease_open ON quota_lease (bucket_id) WHERE NOT closed AND NOT forfeited;
  CREATE INDEX quota_lease_due ON quota_lease (deadline) WHERE NOT closed AND NOT forfeited;
  CREATE INDEX quota_lease_done ON quota_lease (deadline) WHERE closed OR forfeited;

  -- Unlogged: after a crash of the database these are empty, and a rate bucket that is lost restarts empty.
  CREATE UNLOGGED TABLE rate_bucket (
    limit_id        text COLLATE "C" PRIMARY KEY,
    available       bigint NOT NULL,
    carry_parts     bigint NOT NULL,
    leased          bigint NOT NULL,
    accounted_at_ms bigint NOT NULL,
    idle            jsonb  NOT NULL
  );

  CREATE UNLOGGED TABLE rate_lease (
    id       text COLLATE "C" PRIMARY KEY,
    limit_id text COLLATE "C" NOT NULL,
    holder   text COLLATE "C" NOT NULL,
    units    bigint NOT NULL,
    spent    bigint NOT NULL DEFAULT 0,
    deadline timestamptz NOT NULL
  );
  CREATE INDEX rate_lease_limit ON rate_lease (limit_id);
`;

const usageUp = `
  CREATE TABLE producer_epoch (
    producer      text COLLATE "C" NOT NULL,
    epoch         bigint NOT NULL,
    next_sequence bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (producer, epoch)
  );

  CREATE TABLE ingested_batch (
    producer    text COLLATE "C" NOT NULL,
    epoch       bigint NOT NULL,
    sequence    bigint NOT NULL,
    digest      bytea  NOT NULL,
    quarantined integer NOT NULL,
    PRIMARY KEY (producer, epoch, sequence)
  );

  CREATE TABLE usage_minute (
    start      timestamptz NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    key_id     text COLLATE "C" NOT NULL,
    meter      text COLLATE "C" NOT NULL,
    resource   text COLLATE "C" NOT NULL,
    outcome    text COLLATE "C" NOT NULL,
    units      bigint NOT NULL,
    PRIMARY KEY (account_id, start, key_id, meter, resource, outcome)
  );
  CREATE INDEX usage_minute_key ON usage_minute (key_id, start);

  -- Quarters of an hour: every zone's hours, days and months begin at one.
  CREATE TABLE usage_quarter (LIKE usage_minute INCLUDING ALL);

  CREATE TABLE usage_quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    LIKE usage_minute
  );
  CREATE INDEX usage_quarantine_account ON usage_quarantine (account_id);
`;

/** The schema: metering's change log, the mirror of identity, limits with their buckets and leases, usage. */
export class Initial1764000000000 implements MigrationInterface {
  readonly name = "Initial1764000000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(changeLogUp);
    await runner.query(mirrorUp);
    await runner.query(limitsUp);
    await runner.query(usageUp);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE usage_quarantine, usage_quarter, usage_minute, ingested_batch, producer_epoch;
      DROP TABLE rate_lease, rate_bucket, quota_lease, quota_bucket, audit_event, node_limit;
      DROP TABLE meter, key, account, feed_position;
    `);
    await runner.query(changeLogDown);
  }
}
