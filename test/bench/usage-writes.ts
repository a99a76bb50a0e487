/** The rows that a batch or a report becomes, written by hand: what Postgres can do without a service in front. */
import type pg from "pg";

export interface Row {
  readonly minute: number;
  readonly accountId: string;
  readonly keyId: string;
  readonly meter: string;
  readonly units: number;
}

const SERIES = "account_id, key_id, meter, resource, outcome, currency";

/** Adds rows to minutes and quarters in one transaction, with whatever else `more` writes in it. */
export async function writeUsage(
  client: pg.Client,
  rows: readonly Row[],
  more: () => Promise<unknown> = async () => {},
): Promise<void> {
  await client.query("BEGIN");
  await more();
  for (const [table, start] of [
    ["usage_minute", "to_timestamp(minute * 60.0)"],
    ["usage_quarter", "date_bin('15 minutes', to_timestamp(minute * 60.0), 'epoch')"],
  ] as const) {
    await client.query(
      `INSERT INTO ${table} AS u (start, ${SERIES}, units, cost)
       SELECT ${start}, account, key, meter, '', 'VALID', '', sum(units), 0
       FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS r(minute, account, key, meter, units)
       GROUP BY 1, 2, 3, 4 ORDER BY 2, 1, 3, 4
       ON CONFLICT (account_id, start, key_id, meter, resource, outcome, currency)
         DO UPDATE SET units = u.units + excluded.units`,
      [
        rows.map(({ minute }) => minute),
        rows.map(({ accountId }) => accountId),
        rows.map(({ keyId }) => keyId),
        rows.map(({ meter }) => meter),
        rows.map(({ units }) => units),
      ],
    );
  }
  await client.query("COMMIT");
}

/** How many rows tables have, as the planner knows. */
export async function sizesOf(client: pg.Client, tables: readonly string[]): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const table of tables) {
    const { rows } = await client.query<{ count: string }>(`SELECT count(*) FROM ${table}`);
    sizes[table] = Number(rows[0]!.count);
  }
  return sizes;
}
