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
/** How long a replica waits while another one migrates. */
const MIGRATIONS_TIMEOUT_MS = 60_000;

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
  const dataSource = new DataSource({
    type: "postgres",
    url: options.url,
    schema: options.schema,
    entities: options.entities,
    migrations: options.migrations,
    migrationsTransactionMode: "each",
    extra: {
      max: options.poolSize ?? 16,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      stream: timedSocket,
      options: [
        `-c search_path=${options.schema},public`,
        `-c lock_timeout=${LOCK_TIMEOUT_MS}`,
        `-c idle_in_transaction_session_timeout=${IDLE_IN_TRANSACTION_MS}`,
        `-c statement_timeout=${STATEMENT_TIMEOUT_MS}`,
        "-c timezone=UTC",
      ].join(" "),
    },
  });
  await migrate(options, dataSource);
  return dataSource;
}

// Replicas start together: the session-level lock makes the second wait for the first's migrations.
async function migrate({ url, schema }: DatabaseOptions, dataSource: DataSource): Promise<void> {
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
    await dataSource.initialize();
    await dataSource.runMigrations();
  } catch (error) {
    if (dataSource.isInitialized) await dataSource.destroy();
    throw error;
  } finally {
    await client.end();
  }
}

function timedSocket(): Socket {
  const socket = new Socket();
  socket.setTimeout(SILENCE_MS, () => socket.destroy(new Error("the database fell silent")));
  return socket;
}
