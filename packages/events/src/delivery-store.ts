import type { DataSource } from "typeorm";
import type { Deliveries } from "./delivery-pump.ts";
import type { Outcome } from "./post.ts";
import { retryDelayMs } from "./retry-schedule.ts";
import { DELIVERIES_KEPT_MS } from "./webhook.ts";

/**
 * How long a delivery that was claimed is nobody else's. An attempt takes 10 s at most; what a replica that died had
 * claimed goes out again after this.
 */
const CLAIM_MS = 30_000;
/** Rows of one statement of the sweep: some tens of milliseconds. */
const SWEEP_SLICE = 5000;

/** A delivery that was claimed, with all that one attempt takes. */
export interface ClaimedDelivery {
  /** The webhook's number. */
  readonly receiver: string;
  readonly eventId: string;
  readonly type: string;
  readonly body: string;
  /** Counted when claimed, so this attempt too; what the claim is told from a later one by. */
  readonly attempts: number;
  readonly accountId: string;
  readonly name: string;
  readonly url: string;
  readonly sealedSecret: string;
}

/**
 * Deliveries in Postgres, shared by all replicas: in the tables `webhook` and `delivery` of the schema, which a service
 * that tells of events has, of one shape in all.
 */
export class DeliveryStore implements Deliveries<ClaimedDelivery> {
  readonly #dataSource: DataSource;
  readonly #nowMs: () => number;

  constructor(dataSource: DataSource, nowMs: () => number) {
    this.#dataSource = dataSource;
    this.#nowMs = nowMs;
  }

  /**
   * The webhooks with something pending are found by skipping along the index, and of each the first few that are
   * due: so the others wait no longer where a million are pending for one receiver. Which receivers come first is left
   * to chance, so that none is always last.
   */
  async claim({ limit, perReceiver, room }: Parameters<Deliveries<ClaimedDelivery>["claim"]>[0]) {
    const now = this.#nowMs();
    const [rows] = await this.#dataSource.query<[ClaimedRow[], number]>(
      `WITH RECURSIVE pending (id) AS (
         SELECT min(webhook_id) FROM delivery WHERE status = 'PENDING'
         UNION ALL
         SELECT (SELECT min(webhook_id) FROM delivery WHERE status = 'PENDING' AND webhook_id > pending.id)
         FROM pending WHERE pending.id IS NOT NULL
       ), receiver AS (
         SELECT w.*, coalesce(known.room, $3::int) AS room
         FROM pending JOIN webhook w USING (id)
         LEFT JOIN unnest($4::bigint[], $5::int[]) AS known(id, room) USING (id)
         WHERE NOT w.paused
         ORDER BY random()
       ), due AS (
         SELECT d.webhook_id, d.event_id, r.account_id, r.name, r.url, r.sealed_secret
         FROM receiver r CROSS JOIN LATERAL (
           SELECT webhook_id, event_id FROM delivery
           WHERE webhook_id = r.id AND status = 'PENDING' AND next_attempt_at <= $1
           ORDER BY next_attempt_at LIMIT r.room FOR UPDATE SKIP LOCKED
         ) d
         LIMIT $6
       )
       UPDATE delivery d SET attempts = d.attempts + 1, next_attempt_at = $2
       FROM due WHERE d.webhook_id = due.webhook_id AND d.event_id = due.event_id
       RETURNING d.webhook_id, d.event_id, d.type, d.body, d.attempts,
         due.account_id, due.name, due.url, due.sealed_secret`,
      [new Date(now), new Date(now + CLAIM_MS), perReceiver, [...room.keys()], [...room.values()], limit],
    );
    return rows.map(claimedOf);
  }

  /** Where the claim was over meanwhile, the delivery is another's, who will say what came of it. */
  async settle(delivery: ClaimedDelivery, outcome: Outcome): Promise<void> {
    const now = this.#nowMs();
    const delayMs = outcome.final ? undefined : retryDelayMs(delivery.attempts);
    const status = outcome.taken ? "DELIVERED" : delayMs === undefined ? "DEAD" : "PENDING";
    await this.#dataSource.query(
      `UPDATE delivery SET status = $4, last_error = $5, next_attempt_at = $6
       WHERE webhook_id = $1 AND event_id = $2 AND attempts = $3 AND status = 'PENDING'`,
      [
        delivery.receiver,
        delivery.eventId,
        delivery.attempts,
        status,
        outcome.error,
        new Date(status === "PENDING" ? now + delayMs! : now),
      ],
    );
  }

  /** Forgets what is older than it is kept, and what was on its way to webhooks that are gone. */
  async sweep(): Promise<void> {
    const before = new Date(this.#nowMs() - DELIVERIES_KEPT_MS);
    await this.#deleteSlices(
      `SELECT webhook_id, event_id FROM delivery WHERE at < $2 ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED`,
      [before],
    );
    await this.#deleteSlices(
      `WITH RECURSIVE kept (id) AS (
         SELECT min(webhook_id) FROM delivery
         UNION ALL
         SELECT (SELECT min(webhook_id) FROM delivery WHERE webhook_id > kept.id) FROM kept WHERE kept.id IS NOT NULL
       )
       SELECT d.webhook_id, d.event_id FROM kept JOIN delivery d ON d.webhook_id = kept.id
       WHERE NOT EXISTS (SELECT FROM webhook w WHERE w.id = kept.id)
       LIMIT $1`,
      [],
    );
  }

  async #deleteSlices(chosen: string, parameters: readonly unknown[]): Promise<void> {
    for (let deleted = SWEEP_SLICE; deleted === SWEEP_SLICE; ) {
      [, deleted] = await this.#dataSource.query<[unknown, number]>(
        `DELETE FROM delivery WHERE (webhook_id, event_id) IN (${chosen})`,
        [SWEEP_SLICE, ...parameters],
      );
    }
  }
}

interface ClaimedRow {
  webhook_id: string;
  event_id: string;
  type: string;
  body: string;
  attempts: number;
  account_id: string;
  name: string;
  url: string;
  sealed_secret: string;
}

function claimedOf(row: ClaimedRow): ClaimedDelivery {
  return {
    receiver: row.webhook_id,
    eventId: row.event_id,
    type: row.type,
    body: row.body,
    attempts: row.attempts,
    accountId: row.account_id,
    name: row.name,
    url: row.url,
    sealedSecret: row.sealed_secret,
  };
}
