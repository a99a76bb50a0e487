import { createHmac, timingSafeEqual } from "node:crypto";

/** An event, as webhooks bring it. docs/events.md says which there are, and what their data is. */
export interface WebhookEvent {
  /** The same however often it is brought: what to tell repetitions by. */
  readonly id: string;
  readonly type: string;
  /** RFC 3339. */
  readonly at: string;
  readonly account_id: string;
  /** Empty for the provider's own. */
  readonly organization_id: string;
  /** The id of what it happened to. */
  readonly subject: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** More is no delivery of ours. */
const MAX_BODY = 1024 * 1024;

/**
 * The event that a webhook's request brings; undefined where it is not signed with `secret`, or was longer ago, or
 * further ahead, than the tolerance. Events come at least once and in no promised order.
 *
 * @param body the request's body as it came, before anything parses it
 * @param header its header `gatehouse-signature`
 * @param secret what CreateWebhook answered
 */
export function verifyWebhook(
  body: string | Uint8Array,
  header: string | undefined,
  secret: string,
  toleranceSeconds = 300,
  nowMs: number = Date.now(),
): WebhookEvent | undefined {
  const [, time, given] = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(header ?? "") ?? [];
  if (time === undefined || given === undefined || body.length > MAX_BODY) return undefined;
  if (Math.abs(nowMs / 1000 - Number(time)) > toleranceSeconds) return undefined;
  const mac = createHmac("sha256", secret).update(`${time}.`).update(body).digest();
  if (!timingSafeEqual(mac, Buffer.from(given, "hex"))) return undefined;
  return JSON.parse(typeof body === "string" ? body : Buffer.from(body).toString("utf8")) as WebhookEvent;
}
