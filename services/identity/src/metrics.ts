import type { RefusalRecord } from "@gatehouse/access";
import { poolMetrics } from "@gatehouse/changefeed";
import { counter, type Metric } from "@gatehouse/service";
import type { DataSource } from "typeorm";

/** What identity did since the start, counted where it happens. */
export class IdentityCounts {
  /** Attempts to deliver an event to a webhook. */
  readonly deliveries = { taken: 0, failed: 0 };
  /** Keys that fell silent or are soon to expire. */
  watched = 0;
  /** Rows that were sealed with the current encryption key. */
  resealed = 0;
}

/** The metrics of identity; docs/metrics.md says what each means. */
export function identityMetrics(
  counts: IdentityCounts,
  rates: { readonly unchargedCalls: number },
  refusals: Pick<RefusalRecord, "lost">,
  pools: Readonly<Record<string, DataSource>>,
): readonly Metric[] {
  return [
    counter(
      "gatehouse_webhook_deliveries_total",
      "Attempts to deliver an event to a webhook, by whether it was taken.",
      () => counts.deliveries,
      "outcome",
    ),
    counter(
      "gatehouse_keys_due_total",
      "Keys that fell silent or are soon to expire, of which their owners are told.",
      () => counts.watched,
    ),
    counter(
      "gatehouse_resealed_rows_total",
      "Rows that were sealed with the current encryption key.",
      () => counts.resealed,
    ),
    counter(
      "gatehouse_uncharged_calls_total",
      "Calls that passed without being charged to rates, because metering did not answer.",
      () => rates.unchargedCalls,
    ),
    counter(
      "gatehouse_audit_refusals_lost_total",
      "Refused attempts that could not be put on record.",
      () => refusals.lost,
    ),
    ...poolMetrics(pools),
  ];
}
