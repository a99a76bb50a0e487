import type { DataSource } from "typeorm";
import type { QuarantineSize } from "../metrics.ts";
import { addBooked, isKnownSeries, series } from "./usage-rows.ts";

/** Rows taken out of quarantine in one transaction. */
const MAX_RETRIED = 5000;

/**
 * Books what waits in quarantine and whose account and meter are known by now; answers how many rows that were. Rows are
 * looked for by account and meter, of which there are few: however many wait, a run that finds nothing takes nothing.
 */
export async function retryQuarantine(dataSource: DataSource): Promise<number> {
  const [row] = await dataSource.query<[{ booked: string }]>(
    `WITH RECURSIVE waiting AS (
       (SELECT account_id, meter FROM usage_quarantine ORDER BY account_id, meter LIMIT 1)
       UNION ALL
       SELECT next.account_id, next.meter FROM waiting w CROSS JOIN LATERAL (
         SELECT account_id, meter FROM usage_quarantine q
         WHERE (q.account_id, q.meter) > (w.account_id, w.meter) ORDER BY account_id, meter LIMIT 1) AS next),
     known AS (SELECT account_id, meter FROM waiting WHERE ${isKnownSeries}),
     due AS (
       SELECT q.id FROM known k JOIN usage_quarantine q ON q.account_id = k.account_id AND q.meter = k.meter
       LIMIT $1 FOR UPDATE OF q SKIP LOCKED),
     booked AS (
       DELETE FROM usage_quarantine q USING due WHERE q.id = due.id RETURNING q.start, ${qualified}, q.units, q.cost),
     ${addBooked}
     SELECT count(*) AS booked FROM booked`,
    [MAX_RETRIED],
  );
  return Number(row.booked);
}

const qualified = series
  .split(", ")
  .map((column) => `q.${column}`)
  .join(", ");

/** How much waits, and how long the oldest row has waited. */
export async function measureQuarantine(dataSource: DataSource): Promise<QuarantineSize> {
  const [row] = await dataSource.query<[{ rows: string; age: string }]>(
    `SELECT count(*) AS rows, coalesce(greatest(extract(epoch FROM clock_timestamp() - min(since)), 0), 0) AS age
     FROM usage_quarantine`,
  );
  return { rows: Number(row.rows), oldestAgeSeconds: Number(row.age) };
}
