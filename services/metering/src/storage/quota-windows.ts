import type { Window } from "@gatehouse/buckets";
import type { EntityManager } from "typeorm";
import type { QuotaReading } from "../domain/limit-store.ts";
import type { BucketPlace } from "../domain/report-store.ts";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";
import { lockQuotas } from "./lock-quotas.ts";

/** SQL: the bucket `b` is of the window that the time `$2` is in. */
export const isOfWindow = `b.window_start <= $2::timestamptz AND (b.window_end IS NULL OR b.window_end > $2::timestamptz)`;

/** SQL: when the latest window of a limit began that began by then; the one that is running, unless it has ended. */
export function latestStart(limitId: string, at: string): string {
  return `(SELECT max(window_start) AS start FROM quota_bucket WHERE limit_id = ${limitId} AND window_start <= ${at})`;
}

/** Writes windows down that `atMs` is in, where no row has it yet. */
export async function openQuotaWindows(
  manager: EntityManager,
  limitIds: readonly string[],
  atMs: number,
  windowOf: (limitId: string) => Window,
): Promise<void> {
  const there = await manager.query<{ limit_id: string }[]>(
    `SELECT limit_id FROM quota_bucket b WHERE limit_id = ANY($1) AND ${isOfWindow}`,
    [limitIds, instant(atMs)],
  );
  const known = new Set(there.map((row) => row.limit_id));
  const missing = limitIds.filter((id) => !known.has(id)).sort();
  await openWindows(
    manager,
    missing.map((limitId) => ({ limitId, atMs, window: windowOf(limitId) })),
  );
}

/** Writes rows down for nodes with a share of a bucket that is written down, where they are not yet. */
export async function openShares(
  manager: EntityManager,
  shares: readonly { readonly limitId: string; readonly nodeId: string }[],
  atMs: number,
): Promise<void> {
  if (shares.length === 0) return;
  const parameters = [
    shares.map(({ limitId }) => limitId),
    instant(atMs),
    shares.map(({ nodeId }) => nodeId),
  ];
  const missing = `FROM unnest($1::text[], $3::text[]) AS s(limit_id, node_id)
     JOIN quota_bucket b ON b.limit_id = s.limit_id AND b.share_node = '' AND ${isOfWindow}
     WHERE NOT EXISTS (SELECT FROM quota_bucket o WHERE o.limit_id = s.limit_id AND o.share_node = s.node_id
       AND o.window_start = b.window_start)`;
  if ((await manager.query<unknown[]>(`SELECT ${missing}`, parameters)).length === 0) return;
  await haveWindowsAlone(manager);
  await manager.query(
    `INSERT INTO quota_bucket (limit_id, share_node, window_start, window_end)
     SELECT s.limit_id, s.node_id, b.window_start, b.window_end ${missing}`,
    parameters,
  );
}

/**
 * Writes windows down, cut to where no other row of the limit is: after its zone or anchor has changed, the window
 * that is due reaches back into the one that just ended, which was of other bounds. One at a time, or two rounds that
 * read the limit before and after such a change would open two that overlap. No two places are in one window.
 */
export async function openWindows(manager: EntityManager, places: readonly BucketPlace[]): Promise<void> {
  if (places.length === 0) return;
  await haveWindowsAlone(manager);
  await manager.query(
    `INSERT INTO quota_bucket (limit_id, window_start, window_end)
     SELECT w.limit_id, greatest(w.starts, before.window_end), least(w.ends, after.window_start)
     FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) AS w(limit_id, starts, ends, at)
     LEFT JOIN LATERAL (SELECT limit_id, window_end FROM quota_bucket b
       WHERE b.limit_id = w.limit_id AND b.window_start <= w.at
       ORDER BY b.window_start DESC LIMIT 1) AS before ON true
     LEFT JOIN LATERAL (SELECT window_start FROM quota_bucket b
       WHERE b.limit_id = w.limit_id AND b.window_start > w.at
       ORDER BY b.window_start LIMIT 1) AS after ON true
     WHERE before.limit_id IS NULL OR before.window_end <= w.at`,
    [
      places.map(({ limitId }) => limitId),
      places.map(({ window }) => instant(window.startMs)),
      places.map(({ window }) => endOf(window)),
      places.map(({ atMs }) => instant(atMs)),
    ],
  );
}

/**
 * The buckets of the windows that places are in, in order, in one statement unless some are not written down yet; these
 * are now. A limit's window may have more than one: it was cut where the zone or the anchor changed.
 */
export async function quotaBucketsAt(
  manager: EntityManager,
  places: readonly BucketPlace[],
): Promise<readonly string[]> {
  const found = new Map<BucketPlace, string>();
  for (let left = places; left.length > 0; left = left.filter((place) => !found.has(place))) {
    const rows = await bucketsIn(manager, oneOfEach(left));
    for (const place of left) {
      const row = rows.get(nameOf(place))?.find((bucket) => isIn(bucket, place.atMs));
      if (row !== undefined) found.set(place, row.id);
    }
    // Each window that lacks a bucket gets one of these, so that every round places one at least.
    await openWindows(manager, oneOfEach(left.filter((place) => !found.has(place))));
  }
  return places.map((place) => found.get(place)!);
}

interface Bucket {
  readonly id: string;
  readonly window_start: Date;
  readonly window_end: Date | null;
}

async function bucketsIn(
  manager: EntityManager,
  places: readonly BucketPlace[],
): Promise<ReadonlyMap<string, readonly Bucket[]>> {
  const rows = await manager.query<(Bucket & { n: string })[]>(
    `SELECT w.n, b.id, b.window_start, b.window_end
     FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS w(limit_id, starts, ends, n)
     JOIN quota_bucket b ON b.limit_id = w.limit_id AND b.share_node = ''
       AND (w.ends IS NULL OR b.window_start < w.ends) AND (b.window_end IS NULL OR b.window_end > w.starts)`,
    [
      places.map(({ limitId }) => limitId),
      places.map(({ window }) => instant(window.startMs)),
      places.map(({ window }) => endOf(window)),
    ],
  );
  return Map.groupBy(rows, ({ n }) => nameOf(places[Number(n) - 1]!));
}

function oneOfEach(places: readonly BucketPlace[]): BucketPlace[] {
  return [...new Map(places.map((place) => [nameOf(place), place])).values()];
}

function nameOf({ limitId, window }: BucketPlace): string {
  return `${limitId} ${window.startMs}`;
}

function isIn({ window_start: start, window_end: end }: Bucket, atMs: number): boolean {
  return start.getTime() <= atMs && (end === null || atMs < end.getTime());
}

function endOf({ endMs }: Window): string | null {
  return Number.isFinite(endMs) ? instant(endMs) : null;
}

/**
 * Cuts the running window of a limit: the bucket that was ends now, an empty one begins and ends when the window
 * does. Answers what the old one had; undefined where no window was begun.
 */
export async function renewQuotaWindow(
  manager: EntityManager,
  limitId: string,
  offsetMs: ClockOffset,
): Promise<QuotaReading | undefined> {
  await haveWindowsAlone(manager);
  await lockQuotas(manager, [limitId], offsetMs);
  // Of two resets within a millisecond the second begins a moment after the first: no two begin together.
  const [row] = await manager.query<{ spent: string; leased: string; window_end: Date | null }[]>(
    `WITH was AS (
       SELECT *, greatest($2::timestamptz, window_start + interval '1 microsecond') AS cut FROM quota_bucket b
       WHERE limit_id = $1 AND ${isOfWindow}),
     ended AS (UPDATE quota_bucket SET window_end = was.cut FROM was WHERE quota_bucket.id = was.id),
     begun AS (INSERT INTO quota_bucket (limit_id, share_node, window_start, window_end)
       SELECT limit_id, share_node, cut, window_end FROM was)
     SELECT sum(spent) AS spent, sum(leased) AS leased, min(window_end) AS window_end FROM was
     HAVING count(*) > 0`,
    [limitId, instant(await readNowMs(manager, offsetMs))],
  );
  return (
    row && {
      spent: Number(row.spent),
      leased: Number(row.leased),
      endMs: row.window_end?.getTime(),
    }
  );
}

async function haveWindowsAlone(manager: EntityManager): Promise<void> {
  await manager.query("SELECT pg_advisory_xact_lock(hashtextextended('open quota windows', 0))");
}
