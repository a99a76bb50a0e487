import { alreadyExists } from "@gatehouse/service/failure";
import type { EntityManager } from "typeorm";
import type { Delivery, DeliveryStatus, Webhook } from "../domain/events/webhook.ts";
import type { WebhookReads, WebhookWrites } from "../domain/events/webhook-store.ts";
import type { Page } from "../domain/store.ts";
import { violatedUnique } from "./constraint.ts";
import { type DeliveryRow, deliveryOf, webhookOf, webhookRow, webhookRows } from "./webhook-row.ts";

/** Webhooks, read through one connection or transaction. */
export class WebhookReader implements WebhookReads {
  protected readonly manager: EntityManager;

  constructor(manager: EntityManager) {
    this.manager = manager;
  }

  async find(accountId: string, name: string): Promise<Webhook | undefined> {
    const row = await this.manager.findOneBy(webhookRows, { account_id: accountId, name });
    return row === null ? undefined : webhookOf(row);
  }

  async list(accountId: string): Promise<Webhook[]> {
    const rows = await this.manager.find(webhookRows, {
      where: { account_id: accountId },
      order: { name: "ASC" },
    });
    return rows.map(webhookOf);
  }

  /** A walk along the primary key, or along the index by status. */
  async deliveries(webhook: Webhook, status: DeliveryStatus | undefined, page: Page): Promise<Delivery[]> {
    const rows = await this.manager.query<DeliveryRow[]>(
      `SELECT event_id, type, at, status, attempts, last_error, next_attempt_at FROM delivery
       WHERE webhook_id = (SELECT id FROM webhook WHERE account_id = $1 AND name = $2) AND event_id > $3
         ${status === undefined ? "" : "AND status = $5"}
       ORDER BY event_id LIMIT $4`,
      [webhook.accountId, webhook.name, page.after, page.limit, ...(status === undefined ? [] : [status])],
    );
    return rows.map(deliveryOf);
  }
}

/** Webhooks in a change. Followers see nothing of them, so they are not on the change log. */
export class WebhookWriter extends WebhookReader implements WebhookWrites {
  async insert(webhook: Webhook): Promise<void> {
    try {
      await this.manager.insert(webhookRows, webhookRow(webhook));
    } catch (error) {
      if (violatedUnique(error) !== "webhook_name_key") throw error;
      throw alreadyExists("NAME_TAKEN", "the name is taken");
    }
  }

  async update(webhook: Webhook): Promise<void> {
    const { account_id, name, url, events, paused, descendants, updated_at } = webhookRow(webhook);
    const changed = { url, events, paused, descendants, updated_at };
    await this.manager.update(webhookRows, { account_id, name }, changed);
  }

  async delete({ accountId, name }: Webhook): Promise<void> {
    await this.manager.delete(webhookRows, { account_id: accountId, name });
  }

  async redeliver(webhook: Webhook, eventIds: readonly string[], at: Date, limit: number): Promise<number> {
    const [, redelivered] = await this.manager.query<[unknown, number]>(
      `UPDATE delivery SET status = 'PENDING', attempts = 0, next_attempt_at = $3
       WHERE (webhook_id, event_id) IN (
         SELECT webhook_id, event_id FROM delivery
         WHERE webhook_id = (SELECT id FROM webhook WHERE account_id = $1 AND name = $2) AND status = 'DEAD'
           AND ($4::text[] = '{}' OR event_id = ANY ($4))
         ORDER BY event_id LIMIT $5 FOR UPDATE)`,
      [webhook.accountId, webhook.name, at, eventIds, limit],
    );
    return redelivered;
  }
}
