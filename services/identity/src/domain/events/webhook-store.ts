import type { Delivery, DeliveryStatus } from "@gatehouse/events/webhook";
import type { Page } from "../store.ts";
import type { Webhook } from "./webhook.ts";

export interface WebhookReads {
  find(accountId: string, name: string): Promise<Webhook | undefined>;
  /** All of an account, by name. */
  list(accountId: string): Promise<Webhook[]>;
  /** What was sent to a webhook, or is still to be, oldest first. */
  deliveries(webhook: Webhook, status: DeliveryStatus | undefined, page: Page): Promise<Delivery[]>;
}

export interface WebhookWrites extends WebhookReads {
  /** Throws Failure NAME_TAKEN. */
  insert(webhook: Webhook): Promise<void>;
  /** Writes what can change. */
  update(webhook: Webhook): Promise<void>;
  /** With it goes what was on its way. */
  delete(webhook: Webhook): Promise<void>;
  /** Lets events go out again that were given up, all or those named, `limit` at most; answers how many. */
  redeliver(webhook: Webhook, eventIds: readonly string[], at: Date, limit: number): Promise<number>;
}
