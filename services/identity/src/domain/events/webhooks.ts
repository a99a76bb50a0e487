import { type Principal, stateOfChain } from "@gatehouse/access";
import { mintWebhookSecret, secretContext } from "@gatehouse/events/webhook";
import { alreadyExists, Failure, failedPrecondition, notFound } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";
import { SLUG_PATTERN, SLUG_RULE } from "../accounts/slug.ts";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { requireNotClosed } from "../rules/closed-rule.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import type { Change } from "../store.ts";
import { audited, done } from "./audit.ts";
import { requireReachOf } from "./descendants-rule.ts";
import { auditedWebhook, MAX_WEBHOOKS, type Webhook } from "./webhook.ts";
import { webhookEvents, webhookUrl } from "./webhook-fields.ts";

export interface ChangedWebhook {
  readonly webhook: Webhook;
  readonly freshness: string;
}

/** Creates a webhook. Creating it again as it is answers the one that is there, without its secret. */
export function createWebhook(
  domain: Domain,
  actor: Principal,
  request: {
    account: string;
    name: string;
    url: string;
    events: readonly string[];
    descendants: boolean | undefined;
  },
): Promise<ChangedWebhook & { secret: string }> {
  const fields = new Fields();
  const account = fields.reference("account", request.account);
  const name = fields.pattern("name", request.name, SLUG_PATTERN, SLUG_RULE);
  const url = webhookUrl(fields, request.url, { insecure: domain.insecureWebhooks });
  const events = webhookEvents(fields, request.events);
  fields.check();
  const { descendants = actor.view.key.kind === "MASTER" } = request;
  const wanted = { action: "gatehouse.webhooks.create", account, name };
  return changeWebhook(domain, actor, wanted, async (change, chain, audit) => {
    requireReachOf(actor, { descendants });
    const accountId = chain[0].id;
    const existing = await change.webhooks.find(accountId, name);
    if (existing !== undefined) return { webhook: same(existing, { url, events, descendants }), secret: "" };
    if (stateOfChain(chain) !== "VALID") {
      throw failedPrecondition("ACCOUNT_INACTIVE", "the account, or one above it, is not active");
    }
    if ((await change.webhooks.list(accountId)).length >= MAX_WEBHOOKS) throw tooMany(accountId);
    const secret = mintWebhookSecret();
    const at = new Date(domain.nowMs());
    const webhook: Webhook = {
      accountId,
      name,
      url,
      events,
      paused: false,
      descendants,
      sealedSecret: domain.sealer.seal(secret, secretContext({ accountId, name })),
      createdAt: at,
      updatedAt: at,
    };
    await change.webhooks.insert(webhook);
    await audit(at, { after: auditedWebhook(webhook) });
    return { webhook, secret };
  });
}

/** Changes what is given, or what the mask names. */
export function updateWebhook(
  domain: Domain,
  actor: Principal,
  request: {
    account: string;
    webhook: string;
    url: string;
    events: readonly string[];
    paused: boolean | undefined;
    descendants: boolean | undefined;
    mask: readonly string[];
  },
): Promise<ChangedWebhook> {
  const fields = new Fields();
  const account = fields.reference("account", request.account);
  const name = fields.reference("webhook", request.webhook, { required: true })!;
  const given = [
    ...(request.url === "" ? [] : ["url"]),
    ...(request.events.length === 0 ? [] : ["events"]),
    ...(request.paused === undefined ? [] : ["paused"]),
    ...(request.descendants === undefined ? [] : ["descendants"]),
  ];
  const changed = fields.mask(request.mask, ["url", "events", "paused", "descendants"], given);
  const wanted: Partial<Webhook> = {
    ...(changed.has("url") && {
      url: webhookUrl(fields, request.url, { insecure: domain.insecureWebhooks }),
    }),
    ...(changed.has("events") && { events: webhookEvents(fields, request.events) }),
    ...(changed.has("paused") && { paused: request.paused === true }),
    ...(changed.has("descendants") && { descendants: request.descendants === true }),
  };
  fields.check();
  const what = { action: "gatehouse.webhooks.update", account, name };
  return changeWebhook(domain, actor, what, async (change, chain, audit) => {
    const [{ id }] = chain;
    const before = await requireWebhook(change, id, name);
    const at = new Date(domain.nowMs());
    const webhook: Webhook = { ...before, ...wanted, updatedAt: at };
    for (const each of [before, webhook]) requireReachOf(actor, each);
    if (shapeOf(webhook) === shapeOf(before)) return { webhook: before };
    requireNotClosed(chain);
    await change.webhooks.update(webhook);
    await audit(at, { before: auditedWebhook(before), after: auditedWebhook(webhook) });
    return { webhook };
  });
}

/** Deletes a webhook and what was on its way to it. */
export function deleteWebhook(
  domain: Domain,
  actor: Principal,
  request: { account: string; webhook: string },
): Promise<{ freshness: string }> {
  const { account, name } = nameOf(request);
  const wanted = { action: "gatehouse.webhooks.delete", account, name };
  return changeWebhook(domain, actor, wanted, async (change, [{ id }], audit) => {
    const webhook = await requireWebhook(change, id, name);
    requireReachOf(actor, webhook);
    await change.webhooks.delete(webhook);
    await audit(new Date(domain.nowMs()), { before: auditedWebhook(webhook), after: null });
    return {};
  });
}

/** One webhook of an account in the caller's reach. */
export async function getWebhook(
  domain: Domain,
  actor: Principal,
  request: { account: string; webhook: string },
): Promise<Webhook> {
  const { account, name } = nameOf(request);
  const [{ id }] = await findAccount(domain.store, actor, account);
  return requireWebhook(domain.store, id, name);
}

/** Every webhook of an account, by name. */
export async function listWebhooks(domain: Domain, actor: Principal, account: string): Promise<Webhook[]> {
  const fields = new Fields();
  const name = fields.reference("account", account);
  fields.check();
  const [{ id }] = await findAccount(domain.store, actor, name);
  return domain.store.webhooks.list(id);
}

/** Puts a change on record. */
export type AuditWebhook = (at: Date, states: { before?: unknown; after: unknown }) => Promise<void>;

/** Runs a change of a webhook of an account in the caller's reach: gated, audited. */
export function changeWebhook<T>(
  domain: Domain,
  actor: Principal,
  wanted: { action: string; account: string | undefined; name: string },
  work: (change: Change, chain: Chain, audit: AuditWebhook) => Promise<T>,
): Promise<T & { freshness: string }> {
  const { action, account, name } = wanted;
  const attempt = { actor, action, target: name };
  return audited(domain, attempt, async () => {
    requireManager(actor);
    const found = await findAccount(domain.store, actor, account);
    const [{ id, path }] = found;
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({ reliedOn: [...reliedOnBy(actor), ...path], changed: [`webhooks:${id}`] });
      await stillPermitted(domain, change, attempt, { chain: found });
      const chain = (await change.accounts.find(id))!;
      const audit: AuditWebhook = (at, states) =>
        change.audit(done(attempt, at, { target: name, account: chain[0], ...states }));
      return work(change, chain, audit);
    });
    return { ...value, freshness };
  });
}

/** Throws Failure NOT_FOUND. */
export async function requireWebhook(
  reads: Pick<Change, "webhooks"> | Pick<Domain["store"], "webhooks">,
  accountId: string,
  name: string,
): Promise<Webhook> {
  const webhook = await reads.webhooks.find(accountId, name);
  if (webhook === undefined) throw notFound("webhook");
  return webhook;
}

function nameOf(request: { account: string; webhook: string }) {
  const fields = new Fields();
  const account = fields.reference("account", request.account);
  const name = fields.reference("webhook", request.webhook, { required: true })!;
  fields.check();
  return { account, name };
}

function same(existing: Webhook, wanted: Pick<Webhook, "url" | "events" | "descendants">): Webhook {
  if (shapeOf({ ...existing, ...wanted }) === shapeOf(existing)) return existing;
  throw alreadyExists("NAME_TAKEN", "a webhook of that name has another url or gets other events");
}

function shapeOf({ url, events, paused, descendants }: Webhook): string {
  return JSON.stringify([url, events, paused, descendants]);
}

function tooMany(accountId: string): Failure {
  const description = `an account has at most ${MAX_WEBHOOKS} webhooks`;
  const quota = [{ subject: `account:${accountId}`, description }];
  return new Failure({ code: "RESOURCE_EXHAUSTED", reason: "PLAN_LIMIT", message: description, quota });
}
