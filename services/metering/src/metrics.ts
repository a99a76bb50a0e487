import type { RefusalRecord } from "@gatehouse/access";
import { type Follower, feedMetrics, poolMetrics } from "@gatehouse/changefeed";
import { counter, durations, gauge, histogram, type Metric } from "@gatehouse/service";
import type { DataSource } from "typeorm";
import type { AcquireLoop } from "./domain/acquire-loop.ts";
import type { MoneyLoop } from "./domain/money-loop.ts";
import type { Recalls } from "./domain/recalls.ts";
import type { Report } from "./domain/report-usage.ts";

/** Usage that is put aside, in all replicas' database. */
export interface QuarantineSize {
  readonly rows: number;
  readonly oldestAgeSeconds: number;
}

/** What metering did since the start, counted where it happens. */
export class MeteringCounts {
  readonly ingest = { batches: 0, rows: 0, quarantined: 0 };
  /** Events that backends reported: booked, duplicates, and those that were not, by the reason that they were answered. */
  readonly reported: Record<string, number> = {
    BOOKED: 0,
    DUPLICATE: 0,
    INVALID_FIELD: 0,
    NOT_FOUND: 0,
    IDEMPOTENCY_MISMATCH: 0,
    SOURCE_UNAVAILABLE: 0,
  };
  /** How long movements of money took to be answered. */
  readonly moneyWaits = durations();
  /** As last counted. */
  quarantine: QuarantineSize = { rows: 0, oldestAgeSeconds: 0 };
  /** Rows that left quarantine, since their accounts and meters are known by now. */
  booked = 0;
  /** What an operator must hear of; the log says what it is. */
  alarms = 0;
  forfeitedUnits = 0;
  /** Alerts that were looked at, since something moved, and what they told. */
  readonly alerts = { evaluated: 0, told: 0 };
  /** Attempts to deliver an event to an alert's webhook. */
  readonly deliveries = { taken: 0, failed: 0 };
  /** Rows that were sealed with the current encryption key. */
  resealed = 0;
  /** Wallets, rows, buckets and rollups that were derived again, and those that came out otherwise. */
  readonly books = { looked: 0, differences: 0 };

  countReport({ booked, duplicates, faults }: Report): void {
    const add = (outcome: string, events: number) => {
      this.reported[outcome] = (this.reported[outcome] ?? 0) + events;
    };
    add("BOOKED", booked);
    add("DUPLICATE", duplicates);
    for (const { reason } of faults.values()) add(reason, 1);
  }
}

/** What the metrics are read from. */
export interface Watched {
  readonly counts: MeteringCounts;
  readonly follower: Follower<{ readonly revision: number | bigint }>;
  readonly acquires: Pick<AcquireLoop, "waiting" | "rounds" | "forfeitedUnits">;
  readonly money: Pick<MoneyLoop, "waiting" | "rounds">;
  readonly recalls: Pick<Recalls, "streams" | "delivered">;
  readonly refusals: Pick<RefusalRecord, "lost">;
  readonly pools: Readonly<Record<string, DataSource>>;
}

/** The metrics of metering; docs/metrics.md says what each means. */
export function meteringMetrics(watched: Watched): readonly Metric[] {
  const { counts, follower, acquires, money, recalls, refusals, pools } = watched;
  const { ingest } = counts;
  return [
    ...feedMetrics("identity", follower),
    counter("gatehouse_ingest_batches_total", "Batches of usage that were taken.", () => ingest.batches),
    counter("gatehouse_ingest_rows_total", "Rows of usage in them.", () => ingest.rows),
    counter(
      "gatehouse_reported_events_total",
      "Events that backends reported, by what became of them.",
      () => counts.reported,
      "outcome",
    ),
    counter("gatehouse_money_rounds_total", "Transactions that moved money.", () => money.rounds),
    gauge("gatehouse_money_waiting", "Movements of money that wait.", "sum", () => money.waiting),
    histogram(
      "gatehouse_money_wait_seconds",
      "How long movements of money took to be answered.",
      counts.moneyWaits,
    ),
    counter(
      "gatehouse_ingest_quarantined_rows_total",
      "Rows put aside, since their accounts or meters were not known.",
      () => ingest.quarantined,
    ),
    gauge(
      "gatehouse_usage_quarantined_rows",
      "Rows of usage that wait for their accounts or meters.",
      "max",
      () => counts.quarantine.rows,
    ),
    gauge(
      "gatehouse_usage_quarantine_oldest_age_seconds",
      "How long the oldest of them has waited.",
      "max",
      () => counts.quarantine.oldestAgeSeconds,
    ),
    counter("gatehouse_quarantine_booked_rows_total", "Rows that left quarantine.", () => counts.booked),
    counter(
      "gatehouse_ingest_alarms_total",
      "What an operator must look at in the log.",
      () => counts.alarms,
    ),
    counter(
      "gatehouse_lease_units_forfeited_total",
      "Units lent to holders that vanished, counted as spent.",
      () => counts.forfeitedUnits + acquires.forfeitedUnits,
    ),
    counter(
      "gatehouse_books_looked_total",
      "Wallets, ledger rows, buckets and rollups that were derived again.",
      () => counts.books.looked,
    ),
    counter(
      "gatehouse_books_differences_total",
      "Those of them that came out otherwise.",
      () => counts.books.differences,
    ),
    counter("gatehouse_acquire_rounds_total", "Transactions that lent units.", () => acquires.rounds),
    gauge("gatehouse_acquires_waiting", "Requests for units that wait.", "sum", () => acquires.waiting),
    gauge(
      "gatehouse_recall_streams",
      "Streams on which holders hear of recalls.",
      "sum",
      () => recalls.streams,
    ),
    counter(
      "gatehouse_recalls_delivered_total",
      "Limits recalled from holders here.",
      () => recalls.delivered,
    ),
    counter(
      "gatehouse_alerts_evaluated_total",
      "Looks at alerts of which something had moved.",
      () => counts.alerts.evaluated,
    ),
    counter("gatehouse_alert_events_total", "Events that alerts told.", () => counts.alerts.told),
    counter(
      "gatehouse_webhook_deliveries_total",
      "Attempts to deliver an event to a webhook, by whether it was taken.",
      () => counts.deliveries,
      "outcome",
    ),
    counter(
      "gatehouse_resealed_rows_total",
      "Rows that were sealed with the current encryption key.",
      () => counts.resealed,
    ),
    counter(
      "gatehouse_audit_refusals_lost_total",
      "Refused attempts that could not be put on record.",
      () => refusals.lost,
    ),
    ...poolMetrics(pools),
  ];
}
