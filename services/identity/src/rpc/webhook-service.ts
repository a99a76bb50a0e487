import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import type { Delivery } from "@gatehouse/events/webhook";
import {
  type DeliverySchema,
  type WebhookSchema,
  WebhookService,
  DeliveryStatus as WireDeliveryStatus,
} from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Domain } from "../domain/domain.ts";
import { listDeliveries, redeliverEvents } from "../domain/events/deliveries.ts";
import type { Webhook } from "../domain/events/webhook.ts";
import {
  createWebhook,
  deleteWebhook,
  getWebhook,
  listWebhooks,
  updateWebhook,
} from "../domain/events/webhooks.ts";
import { neverStored } from "./never-stored.ts";

export function webhookService(domain: Domain): Route<Principal> {
  return route<typeof WebhookService, Principal>(WebhookService, {
    async createWebhook({ account, name, url, events, descendants }, call) {
      const wanted = { account, name, url, events, descendants };
      const { webhook, secret, freshness } = await createWebhook(domain, call.principal, wanted);
      neverStored(call);
      return { webhook: webhookMessage(webhook), secret, freshness };
    },

    async getWebhook({ account, webhook }, call) {
      return { webhook: webhookMessage(await getWebhook(domain, call.principal, { account, webhook })) };
    },

    async listWebhooks({ account }, call) {
      return { webhooks: (await listWebhooks(domain, call.principal, account)).map(webhookMessage) };
    },

    async updateWebhook({ updateMask, ...request }, call) {
      const { account, webhook: name, url, events, paused, descendants } = request;
      const mask = updateMask?.paths ?? [];
      const wanted = { account, webhook: name, url, events, paused, descendants, mask };
      const { webhook, freshness } = await updateWebhook(domain, call.principal, wanted);
      return { webhook: webhookMessage(webhook), freshness };
    },

    async deleteWebhook({ account, webhook }, call) {
      const { freshness } = await deleteWebhook(domain, call.principal, { account, webhook });
      return { freshness };
    },

    async listDeliveries({ account, webhook, status, pageSize, pageToken }, call) {
      const { items, nextPageToken } = await listDeliveries(domain, call.principal, {
        account,
        webhook,
        status:
          status === WireDeliveryStatus.UNSPECIFIED ? undefined : (WireDeliveryStatus[status] ?? "UNKNOWN"),
        pageSize,
        pageToken,
      });
      return { deliveries: items.map(deliveryMessage), nextPageToken };
    },

    async redeliverEvents({ account, webhook, eventIds }, call) {
      const wanted = { account, webhook, eventIds };
      return redeliverEvents(domain, call.principal, wanted);
    },
  });
}

function webhookMessage(webhook: Webhook): MessageInitShape<typeof WebhookSchema> {
  const { name, accountId, url, events, paused, descendants, createdAt, updatedAt } = webhook;
  return {
    name,
    accountId,
    url,
    events: [...events],
    paused,
    descendants,
    createdAt: timestampFromDate(createdAt),
    updatedAt: timestampFromDate(updatedAt),
  };
}

function deliveryMessage(delivery: Delivery): MessageInitShape<typeof DeliverySchema> {
  const { eventId, type, status, attempts, lastError, nextAttemptAt, at } = delivery;
  return {
    eventId,
    eventType: type,
    status: WireDeliveryStatus[status],
    attempts,
    lastError,
    // What was taken or given up is not attempted again by itself.
    ...(status === "PENDING" && { nextAttemptAt: timestampFromDate(nextAttemptAt) }),
    occurredAt: timestampFromDate(at),
  };
}
