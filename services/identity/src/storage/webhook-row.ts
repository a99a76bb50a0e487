import { EntitySchema } from "typeorm";
import type { Webhook } from "../domain/events/webhook.ts";

/** A row of `webhook`; its number is never another's. */
export interface WebhookRow {
  id: string;
  account_id: string;
  name: string;
  url: string;
  events: string[];
  paused: boolean;
  descendants: boolean;
  sealed_secret: string;
  created_at: Date;
  updated_at: Date;
}

export const webhookRows = new EntitySchema<WebhookRow>({
  name: "webhook",
  columns: {
    id: { type: "bigint", primary: true, generated: "increment" },
    account_id: { type: "text" },
    name: { type: "text" },
    url: { type: "text" },
    events: { type: "text", array: true },
    paused: { type: "boolean" },
    descendants: { type: "boolean" },
    sealed_secret: { type: "text" },
    created_at: { type: "timestamptz" },
    updated_at: { type: "timestamptz" },
  },
});

export function webhookOf(row: WebhookRow): Webhook {
  return {
    accountId: row.account_id,
    name: row.name,
    url: row.url,
    events: row.events,
    paused: row.paused,
    descendants: row.descendants,
    sealedSecret: row.sealed_secret,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function webhookRow(webhook: Webhook): Omit<WebhookRow, "id"> {
  return {
    account_id: webhook.accountId,
    name: webhook.name,
    url: webhook.url,
    events: [...webhook.events],
    paused: webhook.paused,
    descendants: webhook.descendants,
    sealed_secret: webhook.sealedSecret,
    created_at: webhook.createdAt,
    updated_at: webhook.updatedAt,
  };
}
