/**
 * What is to be run after a database was restored from a backup: gives each feed in it a new incarnation, so that
 * whoever follows one drops what it knows and begins again. A follower would else take the restored log for the one
 * that it knows, and keep what the backup never had.
 *
 * Services may be running or not. Reads GATEHOUSE_DATABASE_URL, or GATEHOUSE_DATABASE_URL_FILE, as they do.
 */
import { ConfigError, readConfig, config as settings } from "@gatehouse/service";
import pg from "pg";

const FEEDS = ["identity", "metering"];
const CONNECT_TIMEOUT_MS = 5000;
/** A writer holds the row for the length of its commit. */
const STATEMENT_TIMEOUT_MS = 10_000;

/** The incarnations of one feed, before and after. */
export interface Renewed {
  readonly feed: string;
  readonly before: string;
  readonly after: string;
}

/** Gives every feed of the database a new incarnation, all in one statement. None where it has no feed. */
export async function renewIncarnations(databaseUrl: string): Promise<Renewed[]> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
  });
  await client.connect();
  try {
    const { rows } = await client.query<{ feed: string }>(
      "SELECT feed FROM unnest($1::text[]) AS feed WHERE to_regclass(feed || '.feed_head') IS NOT NULL ORDER BY feed",
      [FEEDS],
    );
    const feeds = rows.map(({ feed }) => feed);
    if (feeds.length === 0) return [];
    const renewals = feeds.map(
      (feed) => `${feed} AS (UPDATE ${feed}.feed_head SET incarnation = gen_random_uuid()
        RETURNING old.incarnation AS before, new.incarnation AS after)`,
    );
    const answers = feeds.map((feed) => `SELECT '${feed}' AS feed, before, after FROM ${feed}`);
    return (await client.query<Renewed>(`WITH ${renewals.join(", ")} ${answers.join(" UNION ALL ")}`)).rows;
  } finally {
    await client.end();
  }
}

async function main(): Promise<void> {
  const { databaseUrl } = readConfig(process.env, { databaseUrl: settings.secret("GATEHOUSE_DATABASE_URL") });
  const renewed = await renewIncarnations(databaseUrl.reveal());
  if (renewed.length === 0)
    throw new Error("the database has no feed: neither identity nor metering ran on it");
  for (const { feed, before, after } of renewed)
    console.log(`${feed}: incarnation ${before} is now ${after}`);
}

if (import.meta.main) {
  main().catch((error: Error) => {
    console.error(error instanceof ConfigError ? error.message : `not done: ${error.message}`);
    process.exitCode = 1;
  });
}
