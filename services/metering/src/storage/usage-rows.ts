import type { EntityManager } from "typeorm";
import type { BookedUsage } from "../domain/ingest.ts";
import { REQUESTS } from "../domain/limit.ts";
import type { MinuteUsage } from "../domain/usage.ts";
import { counted, MOST_COUNTED } from "./most-counted.ts";
import { floorOf } from "./partitions.ts";

export const series = "account_id, key_id, meter, resource, outcome, currency";

const summed = `${counted("sum(units)")}, ${counted("sum(cost)")}`;
const added = `units = ${counted("u.units + excluded.units")}, cost = ${counted("u.cost + excluded.cost")}`;

/**
 * Adds `booked` (start, the series, units, cost; any number of rows of one series) to the minutes and quarters. Rows
 * go in order, so that two batches cannot wait for each other. `full_rows` counts those that count no further.
 * What is older than minutes are kept goes into its quarter alone.
 */
export const addBooked = `
  minutes AS (
    INSERT INTO usage_minute AS u (start, ${series}, units, cost)
    SELECT start, ${series}, ${summed} FROM booked
    WHERE start >= ${floorOf("usage_minute")}
    GROUP BY start, ${series} ORDER BY account_id, start, key_id, meter, resource, outcome, currency
    ON CONFLICT (account_id, start, key_id, meter, resource, outcome, currency) DO UPDATE SET ${added}
    RETURNING u.units, u.cost),
  quarters AS (
    INSERT INTO usage_quarter AS u (start, ${series}, units, cost)
    SELECT date_bin('15 minutes', start, 'epoch'), ${series}, ${summed} FROM booked
    GROUP BY 1, ${series} ORDER BY account_id, 1, key_id, meter, resource, outcome, currency
    ON CONFLICT (account_id, start, key_id, meter, resource, outcome, currency) DO UPDATE SET ${added}
    RETURNING u.units, u.cost),
  filled AS (SELECT units, cost FROM minutes UNION ALL SELECT units, cost FROM quarters),
  full_rows AS (SELECT count(*) AS count FROM filled WHERE ${MOST_COUNTED} IN (units, cost))`;

/** SQL: is there an account, or none named, and a meter? */
export const isKnownSeries = `(account_id = '' OR EXISTS (SELECT FROM account a WHERE a.id = account_id))
  AND (meter = '${REQUESTS}' OR EXISTS (SELECT FROM meter m WHERE m.name = meter))`;

/**
 * Books usage of known accounts and meters, and puts the rest into quarantine. One statement: were they looked up twice, a
 * row could fall between the two looks.
 */
export async function bookRows(manager: EntityManager, usage: readonly MinuteUsage[]): Promise<BookedUsage> {
  if (usage.length === 0) return { quarantined: 0, full: 0 };
  const [row] = await manager.query<[{ quarantined: string; full: string }]>(
    `WITH given AS MATERIALIZED (
       SELECT to_timestamp(minute * 60.0) AS start, ${series}, units, cost,
         ${isKnownSeries} AS known
       FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
         $8::bigint[], $9::bigint[]) AS r(minute, ${series}, units, cost)),
     booked AS (SELECT * FROM given WHERE known),
     ${addBooked},
     aside AS (
       INSERT INTO usage_quarantine (start, ${series}, units, cost)
       SELECT start, ${series}, units, cost FROM given WHERE NOT known RETURNING 1)
     SELECT (SELECT count(*) FROM aside) AS quarantined, (SELECT count FROM full_rows) AS full`,
    [
      usage.map(({ minute }) => minute),
      usage.map(({ accountId }) => accountId),
      usage.map(({ keyId }) => keyId),
      usage.map(({ meter }) => meter),
      usage.map(({ resource }) => resource),
      usage.map(({ outcome }) => outcome),
      usage.map(({ currency }) => currency),
      usage.map(({ units }) => units),
      usage.map(({ cost }) => cost),
    ],
  );
  return { quarantined: Number(row.quarantined), full: Number(row.full) };
}
