import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Alerts, what moved that they watch, and what is on its way to their webhooks. The tables are new. The triggers take a
 * lock of usage_quarter, quota_bucket, node_limit and wallet that waits for their writers, for a moment.
 *
 * What moves says so itself, in its transaction, whoever writes, also replicas of the version before: a row of
 * `alert_due` for each alert that watches it. Rows are only added, so that no writer waits for another or for who
 * evaluates. Where there is no such alert that costs a look at an index, for usage one for each statement.
 */
export class Alerts1764700000000 implements MigrationInterface {
  readonly name = "Alerts1764700000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(alertsUp);
    await runner.query(deliveriesUp);
    await runner.query(triggersUp);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER alert_wallet_moved ON wallet;
      DROP TRIGGER alert_wallet_opened ON wallet;
      DROP TRIGGER alert_limit_changed ON node_limit;
      DROP TRIGGER alert_quota_moved ON quota_bucket;
      DROP TRIGGER alert_usage_added ON usage_quarter;
      DROP TRIGGER alert_usage_changed ON usage_quarter;
      DROP FUNCTION alert_wallet_moved, alert_limit_changed, alert_quota_moved, alert_usage_moved;
      DROP TABLE delivery, webhook, alert_window, alert_due, alert;
    `);
  }
}

const alertsUp = `
  CREATE TABLE alert (
    id               text COLLATE "C" PRIMARY KEY,
    node_kind        text COLLATE "C" NOT NULL,
    node_id          text COLLATE "C" NOT NULL,
    account_id       text COLLATE "C" NOT NULL,
    name             text NOT NULL,
    -- LIMIT, USAGE, SPEND or BALANCE.
    subject          text COLLATE "C" NOT NULL,
    limit_id         text COLLATE "C",
    meter            text COLLATE "C",
    currency         text COLLATE "C",
    window_kind      text COLLATE "C",
    time_zone        text,
    descendants      boolean NOT NULL DEFAULT false,
    -- One of these two.
    amount           bigint,
    share_millionths bigint,
    direction        text COLLATE "C" NOT NULL,
    webhook_url      text NOT NULL,
    created_at       timestamptz NOT NULL,
    told_at          timestamptz,
    -- Not looked at before: what takes long is looked at less often.
    not_before       timestamptz NOT NULL DEFAULT '-infinity'
  );
  CREATE INDEX alert_node ON alert (node_id, id);
  CREATE INDEX alert_account ON alert (account_id);
  CREATE UNIQUE INDEX alert_name ON alert (node_id, name) WHERE name <> '';
  CREATE INDEX alert_limit ON alert (limit_id) WHERE limit_id IS NOT NULL;
  CREATE INDEX alert_usage ON alert (node_id) WHERE subject IN ('USAGE', 'SPEND');
  CREATE INDEX alert_balance ON alert (account_id, currency) WHERE subject = 'BALANCE';

  -- A queue. What moved: the quarter of an hour of usage, the beginning of a quota's window, a balance and what it
  -- became; where nothing is said, what runs now.
  CREATE TABLE alert_due (
    alert_id   text COLLATE "C" NOT NULL,
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    at         timestamptz,
    balance    bigint,
    not_before timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (alert_id, seq)
  );

  -- Windows in which the threshold was reached, and the one of a balance. What makes an alert tell once.
  CREATE TABLE alert_window (
    alert_id     text COLLATE "C" NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    is_reached   boolean NOT NULL,
    crossings    bigint NOT NULL,
    PRIMARY KEY (alert_id, window_start)
  );
  CREATE INDEX alert_window_end ON alert_window (window_end);
`;

/** As identity has them: packages/events reads and writes them. An alert's webhook has its id for a name. */
const deliveriesUp = `
  CREATE TABLE webhook (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id    text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    url           text NOT NULL,
    paused        boolean NOT NULL DEFAULT false,
    sealed_secret text NOT NULL,
    CONSTRAINT webhook_name_key UNIQUE (account_id, name)
  );
  CREATE TABLE delivery (
    webhook_id      bigint NOT NULL,
    event_id        text COLLATE "C" NOT NULL,
    type            text NOT NULL,
    at              timestamptz NOT NULL,
    body            text NOT NULL,
    status          text NOT NULL CHECK (status IN ('PENDING', 'DELIVERED', 'DEAD')),
    attempts        integer NOT NULL,
    last_error      text NOT NULL,
    -- While an attempt is under way: when its claim is over.
    next_attempt_at timestamptz NOT NULL,
    PRIMARY KEY (webhook_id, event_id)
  );
  CREATE INDEX delivery_due_idx ON delivery (webhook_id, next_attempt_at) WHERE status = 'PENDING';
  CREATE INDEX delivery_status_idx ON delivery (webhook_id, status, event_id);
  CREATE INDEX delivery_at_idx ON delivery (at);
`;

const triggersUp = `
  CREATE FUNCTION alert_quota_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO alert_due (alert_id, at)
    SELECT id, NEW.window_start FROM alert WHERE limit_id = NEW.limit_id;
    RETURN NULL;
  END $$;
  CREATE TRIGGER alert_quota_moved AFTER UPDATE ON quota_bucket FOR EACH ROW
    WHEN (OLD.spent <> NEW.spent) EXECUTE FUNCTION alert_quota_moved();

  CREATE FUNCTION alert_limit_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO alert_due (alert_id) SELECT id FROM alert WHERE limit_id = NEW.id;
    RETURN NULL;
  END $$;
  CREATE TRIGGER alert_limit_changed AFTER UPDATE ON node_limit FOR EACH ROW
    WHEN (OLD.units <> NEW.units) EXECUTE FUNCTION alert_limit_changed();

  -- Rows of one wallet get their places in the queue under its lock, so in the order of its balances.
  CREATE FUNCTION alert_wallet_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO alert_due (alert_id, balance)
    SELECT id, NEW.balance FROM alert
    WHERE subject = 'BALANCE' AND account_id = NEW.account_id AND currency = NEW.currency;
    RETURN NULL;
  END $$;
  CREATE TRIGGER alert_wallet_moved AFTER UPDATE ON wallet FOR EACH ROW
    WHEN (OLD.balance <> NEW.balance) EXECUTE FUNCTION alert_wallet_moved();
  CREATE TRIGGER alert_wallet_opened AFTER INSERT ON wallet FOR EACH ROW
    WHEN (NEW.balance <> 0) EXECUTE FUNCTION alert_wallet_moved();

  CREATE FUNCTION alert_usage_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NOT EXISTS (SELECT FROM alert WHERE subject IN ('USAGE', 'SPEND')) THEN
      RETURN NULL;
    END IF;
    INSERT INTO alert_due (alert_id, at)
    SELECT a.id, u.start
    FROM (SELECT DISTINCT start, account_id, meter, currency FROM added WHERE outcome = 'VALID') AS u
    JOIN account c ON c.id = u.account_id
    JOIN alert a ON a.node_id = ANY (c.path) AND (a.descendants OR a.node_id = c.id)
    WHERE a.subject IN ('USAGE', 'SPEND') AND a.node_kind = 'ACCOUNT'
      AND (a.meter = u.meter OR a.currency = u.currency)
    UNION
    SELECT a.id, u.start
    FROM added u JOIN alert a ON a.node_id = u.key_id
    WHERE u.outcome = 'VALID' AND a.subject IN ('USAGE', 'SPEND') AND a.node_kind = 'KEY'
      AND (a.meter = u.meter OR a.currency = u.currency);
    RETURN NULL;
  END $$;
  CREATE TRIGGER alert_usage_added AFTER INSERT ON usage_quarter
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION alert_usage_moved();
  CREATE TRIGGER alert_usage_changed AFTER UPDATE ON usage_quarter
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION alert_usage_moved();
`;
