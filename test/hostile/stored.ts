import pg from "pg";

/**
 * Tables of identity that change without anybody's request being accepted: a refused attempt is on record, and what
 * services tell each other, and webhooks, goes on by itself.
 */
const ON_THEIR_OWN = ["audit_event", "key_activity", "delivery", "nonce"];
/** The tables of metering that requests fill; the others follow identity, or what is spent. */
const OF_METERING = ["node_limit", "alert"];

/** How many, by table. */
export type Rows = Readonly<Record<string, number>>;

/** How many rows there are of everything that requests can make. */
export class Stored implements AsyncDisposable {
  readonly #sql: pg.Client;
  #count = "";

  private constructor(sql: pg.Client) {
    this.#sql = sql;
  }

  static async open(databaseUrl: string): Promise<Stored> {
    const sql = new pg.Client({ connectionString: databaseUrl });
    await sql.connect();
    const stored = new Stored(sql);
    const { rows } = await sql.query<{ name: string }>(
      `SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables
       WHERE table_type = 'BASE TABLE' AND (
         table_schema = 'metering' AND table_name = ANY ($1)
         OR table_schema = 'identity' AND table_name <> ALL ($2)
       ) ORDER BY 1`,
      [OF_METERING, ON_THEIR_OWN],
    );
    const tables = rows.map(({ name }) => name);
    stored.#count = tables
      .map((name) => `SELECT '${name}' AS name, count(*)::int AS rows FROM ${name}`)
      .join(" UNION ALL ");
    return stored;
  }

  /** By table. */
  async rows(): Promise<Rows> {
    const { rows } = await this.#sql.query<{ name: string; rows: number }>(this.#count);
    return Object.fromEntries(rows.map(({ name, rows }) => [name, rows]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sql.end();
  }
}
