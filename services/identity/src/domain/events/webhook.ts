import { randomBytes } from "node:crypto";

/** A place that an account has its events sent to. */
export interface Webhook {
  readonly accountId: string;
  /** Unique in the account. */
  readonly name: string;
  readonly url: string;
  /** Patterns of event types; none for all. */
  readonly events: readonly string[];
  /** Deliveries wait. */
  readonly paused: boolean;
  /** Events of the accounts below too; only master keys have to do with such a webhook. */
  readonly descendants: boolean;
  /** What deliveries are signed with, sealed for `secretContext`. */
  readonly sealedSecret: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export const DELIVERY_STATUSES = ["PENDING", "DELIVERED", "DEAD"] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

/** An event on its way to a webhook. */
export interface Delivery {
  readonly eventId: string;
  readonly type: string;
  readonly status: DeliveryStatus;
  readonly attempts: number;
  readonly lastError: string;
  readonly nextAttemptAt: Date;
  readonly at: Date;
}

/** Of an account. */
export const MAX_WEBHOOKS = 20;

/** Deliveries are forgotten after as long, whatever became of them. */
export const DELIVERIES_KEPT_MS = 30 * 86_400_000;

const SECRET_BYTES = 32;

export function mintWebhookSecret(): string {
  return `whsec_${randomBytes(SECRET_BYTES).toString("base64url")}`;
}

/** What a webhook's secret is sealed for. */
export function secretContext({ accountId, name }: Pick<Webhook, "accountId" | "name">): string {
  return `webhook:${accountId}/${name}`;
}

/** A webhook as the audit shows it: of its address what is no secret, as a query often is. */
export function auditedWebhook({ accountId, name, url, events, paused, descendants }: Webhook): unknown {
  const { origin, pathname } = new URL(url);
  return { accountId, name, url: `${origin}${pathname}`, events, paused, descendants };
}
