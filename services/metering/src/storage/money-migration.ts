import type { MigrationInterface, QueryRunner } from "typeorm";

/** Wallets, what moved between them, what calls cost, and who pays. New tables only: it locks nothing that is used. */
export class Money1764600000000 implements MigrationInterface {
  readonly name = "Money1764600000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(walletsUp);
    await runner.query(ledgerUp);
    await runner.query(pricesUp);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE account_balance_source, price, money_request, ledger_transfer");
    await runner.query("DROP TABLE wallet_lease, wallet");
  }
}

const walletsUp = `
  -- Micros, each of them a safe integer: the rows of an account in each currency that it has or had.
  CREATE TABLE wallet (
    id           text COLLATE "C" PRIMARY KEY,
    account_id   text COLLATE "C" NOT NULL,
    currency     text COLLATE "C" NOT NULL,
    -- What its rows in the ledger add up to. Leases are not in it.
    balance      bigint NOT NULL DEFAULT 0,
    -- What replicas of authz hold of it: open leases, less what is known to be spent of them.
    leased       bigint NOT NULL DEFAULT 0,
    credit_limit bigint NOT NULL DEFAULT 0 CHECK (credit_limit >= 0),
    -- Of its latest row in the ledger. Rows of one wallet never go back in time.
    moved_at     timestamptz NOT NULL,
    CONSTRAINT wallet_identity UNIQUE (account_id, currency)
  );

  -- Not forfeited by time alone: a vanished holder's money is neither spent nor there until it is heard of.
  CREATE TABLE wallet_lease (
    id        text COLLATE "C" PRIMARY KEY,
    wallet_id text COLLATE "C" NOT NULL,
    holder    text COLLATE "C" NOT NULL,
    units     bigint  NOT NULL,
    spent     bigint  NOT NULL DEFAULT 0,
    deadline  timestamptz NOT NULL,
    closed    boolean NOT NULL DEFAULT false
  );
  CREATE INDEX wallet_lease_open ON wallet_lease (wallet_id) WHERE NOT closed;
  CREATE INDEX wallet_lease_holder ON wallet_lease (holder) WHERE NOT closed;
  CREATE INDEX wallet_lease_done ON wallet_lease (deadline) WHERE closed;
`;

const ledgerUp = `
  -- Only ever added to. The rows of one wallet are in the order of seq, for each is written under the wallet's lock.
  CREATE TABLE ledger_transfer (
    seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              text COLLATE "C" NOT NULL UNIQUE,
    at              timestamptz NOT NULL,
    -- TOP_UP, TRANSFER, USAGE, REFUND or ADJUSTMENT.
    kind            text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    currency        text COLLATE "C" NOT NULL,
    -- A wallet's id; or EXTERNAL, REVENUE, ADJUSTMENT: the provider's, whose balance is the sum of their rows, so
    -- that no row is written by everybody.
    from_wallet     text COLLATE "C" NOT NULL,
    to_wallet       text COLLATE "C" NOT NULL CHECK (to_wallet <> from_wallet),
    amount          bigint NOT NULL CHECK (amount > 0),
    -- After it; NULL for the provider's.
    from_balance    bigint,
    to_balance      bigint,
    reference       text NOT NULL DEFAULT '',
    reason          text NOT NULL DEFAULT '',
    -- The transaction that this one takes back.
    refunds         text COLLATE "C"
  );
  CREATE INDEX ledger_from ON ledger_transfer (from_wallet, seq) WHERE from_balance IS NOT NULL;
  CREATE INDEX ledger_to ON ledger_transfer (to_wallet, seq) WHERE to_balance IS NOT NULL;
  CREATE INDEX ledger_organization ON ledger_transfer (organization_id, seq);
  CREATE UNIQUE INDEX ledger_refunds ON ledger_transfer (refunds) WHERE refunds IS NOT NULL;

  -- Kept for ever, as the ledger is: a key that was used moves money once, and one that failed never.
  CREATE TABLE money_request (
    account_id      text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    digest          text COLLATE "C" NOT NULL,
    -- Of the row it made.
    transfer_id     text COLLATE "C",
    -- What it was refused with: code, reason, message.
    failure         jsonb,
    PRIMARY KEY (account_id, idempotency_key)
  );
`;

const pricesUp = `
  -- Only ever added to: what calls cost at a time never changes afterwards.
  CREATE TABLE price (
    id           text COLLATE "C" PRIMARY KEY,
    meter        text COLLATE "C" NOT NULL,
    -- A pattern; empty for every call. So is the plan, and the account's type.
    resource     text COLLATE "C" NOT NULL,
    plan         text COLLATE "C" NOT NULL,
    account_type text COLLATE "C" NOT NULL,
    currency     text COLLATE "C" NOT NULL,
    micros       bigint NOT NULL CHECK (micros >= 0),
    per_units    bigint NOT NULL CHECK (per_units >= 1),
    effective_at timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
  );
  CREATE INDEX price_terms ON price (meter, resource, plan, account_type, effective_at);

  CREATE TABLE account_balance_source (
    account_id          text COLLATE "C" PRIMARY KEY,
    uses_parent_balance boolean NOT NULL
  );
`;
