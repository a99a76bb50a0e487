import type { Window } from "@gatehouse/buckets";
import type { EntityManager } from "typeorm";
import type { Alert } from "../domain/alert.ts";
import type { WindowState } from "../domain/alert-crossing.ts";
import type {
  AlertReads,
  MovedAlert,
  QuotaUse,
  ReadWindow,
  SummedSubject,
} from "../domain/evaluate-alerts.ts";
import { instant } from "./clock.ts";
import { usageStatement } from "./usage-statement.ts";

/** SQL: a time as text, to the microsecond, as it is read back. */
export const exactly = (time: string) =>
  `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** More rows than a deployment has meters or currencies. */
const MAX_SUMS = 10_000;

/** What an evaluation reads, in its transaction: each statement sees all that was committed before it. */
export class PostgresAlertReads implements AlertReads {
  readonly #manager: EntityManager;

  constructor(manager: EntityManager) {
    this.#manager = manager;
  }

  async quotaUse(alerts: readonly MovedAlert[], nowMs: number): Promise<QuotaUse[]> {
    const asked = alerts.flatMap(({ alert, moved }) => {
      const { subject } = alert;
      if (subject.kind !== "LIMIT") return [];
      return [...new Set(moved.map(({ at }) => at))].map((at) => ({ alert, limitId: subject.limitId, at }));
    });
    if (asked.length === 0) return [];
    // A limit's window has a row for each share of it that is kept for a node.
    const rows = await this.#manager.query<QuotaRow[]>(
      `SELECT q.alert_id, ${exactly("b.window_start")} AS start, b.window_start, min(b.window_end) AS window_end,
         sum(b.spent) AS spent, l.units
       FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS q(alert_id, limit_id, at)
       JOIN node_limit l ON l.id = q.limit_id AND l.kind = 'QUOTA'
       JOIN quota_bucket b ON b.limit_id = l.id AND CASE WHEN q.at IS NOT NULL THEN b.window_start = q.at
         ELSE b.window_start <= $4 AND (b.window_end IS NULL OR b.window_end > $4) END
       GROUP BY q.alert_id, q.at, b.window_start, l.units`,
      [
        asked.map(({ alert }) => alert.id),
        asked.map(({ limitId }) => limitId),
        asked.map(({ at }) => at ?? null),
        instant(nowMs),
      ],
    );
    const byId = new Map(alerts.map(({ alert }) => [alert.id, alert]));
    // The window that runs now may be one that moved, too.
    const once = new Map(rows.map((row) => [`${row.alert_id} ${row.start}`, row]));
    return [...once.values()].map((row) => ({
      alert: byId.get(row.alert_id)!,
      start: row.start,
      startMs: row.window_start.getTime(),
      endMs: row.window_end?.getTime() ?? Number.POSITIVE_INFINITY,
      spent: BigInt(row.spent),
      units: BigInt(row.units),
    }));
  }

  async sum({ node }: Alert, subject: SummedSubject, { startMs, endMs }: Window): Promise<bigint> {
    const { text, parameters } = usageStatement(
      { ...node, descendants: subject.descendants, reader: undefined },
      {
        groups: [],
        granularity: undefined,
        timeZone: "UTC",
        startMs,
        endMs,
        meter: subject.kind === "USAGE" ? subject.meter : undefined,
        pageSize: MAX_SUMS,
        after: undefined,
      },
      MAX_SUMS,
    );
    const rows = await this.#manager.query<{ currency: string; units: string; cost: string }[]>(
      text,
      parameters,
    );
    return rows.reduce((sum, { currency, units, cost }) => {
      if (subject.kind === "USAGE") return sum + BigInt(units);
      return currency === subject.currency ? sum + BigInt(cost) : sum;
    }, 0n);
  }

  async states(windows: readonly ReadWindow[]): Promise<(WindowState | undefined)[]> {
    if (windows.length === 0) return [];
    const rows = await this.#manager.query<{ is_reached: boolean | null; crossings: string }[]>(
      `SELECT w.is_reached, w.crossings
       FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS q(alert_id, start, n)
       LEFT JOIN alert_window w ON w.alert_id = q.alert_id AND w.window_start = q.start ORDER BY q.n`,
      [windows.map(({ alert }) => alert.id), windows.map(({ start }) => start)],
    );
    return rows.map(({ is_reached: isReached, crossings }) =>
      isReached === null ? undefined : { isReached, crossings: Number(crossings) },
    );
  }
}

interface QuotaRow {
  readonly alert_id: string;
  readonly start: string;
  readonly window_start: Date;
  readonly window_end: Date | null;
  readonly spent: string;
  readonly units: string;
}
