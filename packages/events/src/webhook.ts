import { randomBytes } from "node:crypto";

/** What a webhook is named by: an account, and a name that is unique in it. */
export interface WebhookName {
  readonly accountId: string;
  readonly name: string;
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

/** Deliveries are forgotten after as long, whatever became of them. */
export const DELIVERIES_KEPT_MS = 30 * 86_400_000;

/** Named in one call that has events sent again. */
export const MAX_REDELIVERED_NAMED = 500;
/** Let go again by one call: one statement of some tens of milliseconds. */
export const MAX_REDELIVERED = 10_000;

const SECRET_BYTES = 32;
const MAX_URL = 1000;

/** What a webhook's deliveries are signed with. */
export function mintWebhookSecret(): string {
  return `whsec_${randomBytes(SECRET_BYTES).toString("base64url")}`;
}

/** What a webhook's secret is sealed for. */
export function secretContext({ accountId, name }: WebhookName): string {
  return `webhook:${accountId}/${name}`;
}

/** An address as an audit shows it: what of it is no secret, as a query often is. */
export function auditedUrl(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}

/**
 * What is wrong with an address that deliveries are to go to. Whether it is of the public internet shows when it is
 * connected to.
 */
export function webhookUrlFault(value: string, { insecure }: { insecure: boolean }): string | undefined {
  if (value.length > MAX_URL) return `must be at most ${MAX_URL} characters`;
  const url = URL.parse(value);
  if (url === null || !(url.protocol === "https:" || (insecure && url.protocol === "http:"))) {
    return "must be an https address";
  }
  if (url.username !== "" || url.password !== "") {
    return "must have no user and no password; deliveries are signed";
  }
  return url.hash === "" ? undefined : "must have no fragment, which is sent to nobody";
}
