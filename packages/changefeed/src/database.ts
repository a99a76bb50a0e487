import { Socket } from "node:net";
import pg from "pg";
import { DataSource, type EntitySchema, type MigrationInterface } from "typeorm";

/** How long a statement waits for a lock, and a silent client may hold a transaction open. */
const LOCK_TIMEOUT_MS = 1000;
const IDLE_IN_TRANSACTION_MS = 1000;
/** No statement of ours runs longer; exports and snapshots page. */
const STATEMENT_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 5000;
/**
 * A connection that says nothing for longer than any statement may take has no other end; TCP would find that out
 * in a quarter of an hour. Idle ones are closed by the pool before.
 */
const SILENCE_MS = STATEMENT_TIMEOUT_MS + 5000;
/** How long a replica waits while another one migrates: tables of millions take minutes. */
const MIGRATIONS_TIMEOUT_MS = 30 * 60_000;
/**
 * How long a migration waits for a table. Everybody else stands in line behind it, so not long; no transaction of ours
 * is open longer than a statement may take, and a start that gives up is made again.
 */
const MIGRATION_LOCK_TIMEOUT_MS = 10_000;

export interface DatabaseOptions {
  /** A Postgres connection URL. */
  readonly url: string;
  /** The service's own schema, made if missing. */
  readonly schema: string;
  readonly entities: EntitySchema[];
  /** In order; each runs once. */
  readonly migrations: (new () => MigrationInterface)[];
  /** Connections at most. Default 16. */
  readonly poolSize?: number;
}

/** Connects, makes the schema and runs what migrations are missing, one process at a time. */
export async function openDatabase(options: DatabaseOptions): Promise<DataSource> {
  await migrate(options);
  const dataSource = dataSourceOf(options, {
    max: options.poolSize ?? 16,
    stream: timedSocket,
    options: [
      `-c lock_timeout=${LOCK_TIMEOUT_MS}`,
      `-c idle_in_transaction_session_timeout=${IDLE_IN_TRANSACTION_MS}`,
      `-c statement_timeout=${STATEMENT_TIMEOUT_MS}`,
    ],
  });
  return dataSource.initialize();
}

function dataSourceOf(
  { url, schema, entities, migrations }: DatabaseOptions,
  { options, ...pool }: { max: number; options: readonly string[]; stream?: () => Socket },
): DataSource {
  return new DataSource({
    type: "postgres",
    url,
    schema,
    entities,
    migrations,
    migrationsTransactionMode: "each",
    extra: {
      ...pool,
      Client: ListenedClient,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      options: [`-c search_path=${schema},public`, "-c timezone=UTC", ...options].join(" "),
    },
  });
}

// Replicas start together: the session-level lock makes the second wait for the first's migrations.
async function migrate(options: DatabaseOptions): Promise<void> {
  const { url, schema } = options;
  // A statement may take as long as its table is large.
  const migrating = dataSourceOf(options, {
    max: 1,
    options: [`-c lock_timeout=${MIGRATION_LOCK_TIMEOUT_MS}`, "-c statement_timeout=0"],
  });
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    options: `-c lock_timeout=${MIGRATIONS_TIMEOUT_MS}`,
  });
  // Idle while others migrate, it has nobody to tell of a broken connection; they find out themselves.
  client.on("error", () => {});
  await client.connect();
  try {
    await client.query("SELECT pg_advisory_lock(hashtextextended($1, 0))", [`migrate:${schema}`]);
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${pg.escapeIdentifier(schema)}`);
    await migrating.initialize();
    await migrating.runMigrations();
  } finally {
    if (migrating.isInitialized) await migrating.destroy();
    await client.end();
  }
}

/**
 * A server that shuts down may end a connection in the same packet in which it accepts it: before whoever asked for it
 * can listen, and an error that nobody listens to ends the process. Whoever uses the connection finds out.
 */
class ListenedClient extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super(config);
    this.on("error", () => {});
  }
}

function timedSocket(): Socket {
  const socket = new Socket();
  socket.setTimeout(SILENCE_MS, () => socket.destroy(new Error("the database fell silent")));
  return socket;
}
