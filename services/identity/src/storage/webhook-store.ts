import { readDeliveries, redeliver } from "@gatehouse/events";
import type { Delivery, DeliveryStatus } from "@gatehouse/events/webhook";
import { alreadyExists } from "@gatehouse/service/failure";
import type { EntityManager } from "typeorm";
import type { Webhook } from "../domain/events/webhook.ts";
import type { WebhookReads, WebhookWrites } from "../domain/events/webhook-store.ts";
import type { Page } from "../domain/store.ts";
import { violatedUnique } from "./constraint.ts";
import { webhookOf, webhookRow, webhookRows } from "./webhook-row.ts";

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

  deliveries(webhook: Webhook, status: DeliveryStatus | undefined, page: Page): Promise<Delivery[]> {
    return readDeliveries(this.manager, webhook, status, page);
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

  redeliver(webhook: Webhook, eventIds: readonly string[], at: Date, limit: number): Promise<number> {
    return redeliver(this.manager, webhook, eventIds, at, limit);
  }
}
