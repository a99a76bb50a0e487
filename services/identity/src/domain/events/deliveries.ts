import type { Principal } from "@gatehouse/access";
import {
  DELIVERY_STATUSES,
  type Delivery,
  MAX_REDELIVERED,
  MAX_REDELIVERED_NAMED,
} from "@gatehouse/events/webhook";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import type { Listed } from "../list.ts";
import { encodePageToken } from "../page-token.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { requireReachOf } from "./descendants-rule.ts";
import { changeWebhook, requireWebhook } from "./webhooks.ts";

/** What was sent to a webhook, or is still to be, oldest first. */
export async function listDeliveries(
  domain: Domain,
  actor: Principal,
  request: {
    account: string;
    webhook: string;
    status: string | undefined;
    pageSize: number;
    pageToken: string;
  },
): Promise<Listed<Delivery>> {
  const { pageSize, pageToken, ...filter } = request;
  const fields = new Fields();
  const account = fields.reference("account", request.account);
  const name = fields.reference("webhook", request.webhook, { required: true })!;
  const status = fields.choice("status", request.status, DELIVERY_STATUSES);
  const page = fields.page(pageSize, pageToken, filter);
  fields.check();
  const [{ id }] = await findAccount(domain.store, actor, account);
  const webhook = await requireWebhook(domain.store, id, name);
  requireReachOf(actor, webhook);
  const found = await domain.store.webhooks.deliveries(webhook, status, { ...page, limit: page.limit + 1 });
  const items = found.slice(0, page.limit);
  const more = found.length > items.length;
  return { items, nextPageToken: more ? encodePageToken(filter, items.at(-1)!.eventId) : "" };
}

/** Tries events again that were given up: those named, or all; answers how many are on their way again. */
export async function redeliverEvents(
  domain: Domain,
  actor: Principal,
  request: { account: string; webhook: string; eventIds: readonly string[] },
): Promise<{ redelivered: number; freshness: string }> {
  const fields = new Fields();
  const account = fields.reference("account", request.account);
  const name = fields.reference("webhook", request.webhook, { required: true })!;
  const { eventIds } = request;
  if (eventIds.length > MAX_REDELIVERED_NAMED)
    fields.wrong("event_ids", `must name at most ${MAX_REDELIVERED_NAMED} events`);
  for (const [index, eventId] of eventIds.slice(0, MAX_REDELIVERED_NAMED).entries()) {
    fields.reference(`event_ids[${index}]`, eventId, { required: true });
  }
  fields.check();
  const wanted = { action: "gatehouse.webhooks.update", account, name };
  return changeWebhook(domain, actor, wanted, async (change, [{ id }], audit) => {
    const webhook = await requireWebhook(change, id, name);
    requireReachOf(actor, webhook);
    const at = new Date(domain.nowMs());
    const redelivered = await change.webhooks.redeliver(webhook, eventIds, at, MAX_REDELIVERED);
    if (redelivered > 0) await audit(at, { after: { redelivered } });
    return { redelivered };
  });
}
