import {
  AUDIT_ACTION,
  type AuditEvent,
  type AuditFilter,
  type AuditPlace,
  type EventFilter,
  type Principal,
} from "@gatehouse/access";
import type { Domain } from "../domain.ts";
import { Fields, MAX_PAGE_SIZE } from "../fields.ts";
import type { Listed } from "../list.ts";
import { withinBytes } from "../page-size.ts";
import { encodePageToken } from "../page-token.ts";
import { stillPermitted } from "../rules/actor.ts";
import { findAccount } from "../rules/find-in-reach.ts";

/** What concerns an account, newest first. A page may have few events, or none, and be followed by more. */
export async function listEvents(
  domain: Domain,
  actor: Principal,
  request: EventFilter & { pageSize: number; pageToken: string },
): Promise<Listed<AuditEvent>> {
  const { pageSize, pageToken, ...asked } = request;
  const fields = new Fields();
  const page = fields.page(pageSize, pageToken, asked);
  const wanted = check(fields, asked);
  const filter = await filterOf(domain, actor, wanted);
  const after = page.after === "" ? undefined : await domain.store.auditEvents.placeOf(page.after);
  // What it would go on after has passed the retention, and so has all that is older.
  if (page.after !== "" && after === undefined) return { items: [], nextPageToken: "" };
  const { events, next } = await domain.store.auditEvents.list(filter, {
    after,
    limit: page.limit,
    newestFirst: true,
  });
  const items = withinBytes(events);
  const last = items.length < events.length ? items.at(-1) : next;
  return { items, nextPageToken: last === undefined ? "" : encodePageToken(asked, last.id) };
}

/**
 * The same as parts of a stream, oldest first: each is read once the one before it has been taken, up to what there was
 * when it began. A reader may take hours, so that it may still read is looked at before each page: a key that is
 * revoked meanwhile, or loses the scope or the reach, reads no further. Throws Failure as any call of that key.
 */
export async function* exportEvents(
  domain: Domain,
  actor: Principal,
  asked: EventFilter,
): AsyncGenerator<readonly AuditEvent[]> {
  const wanted = check(new Fields(), asked);
  // What happens at this very millisecond is part of it.
  const end = new Date(domain.nowMs() + 1);
  const until = wanted.until === undefined || wanted.until > end ? end : wanted.until;
  const chain = await findAccount(domain.store, actor, wanted.account);
  // By id: what the name stands for may change.
  const bounded = { ...wanted, account: chain[0].id, until };
  for (let after: AuditPlace | undefined; ; ) {
    const attempt = { actor, action: "gatehouse.audit.read" };
    const alive = await stillPermitted(domain, domain.store, attempt, { chain });
    const filter = await filterOf(domain, alive, bounded);
    const page = { after, limit: MAX_PAGE_SIZE, newestFirst: false };
    const { events, next } = await domain.store.auditEvents.list(filter, page);
    for (let rest = events; rest.length > 0; ) {
      const part = withinBytes(rest);
      yield part;
      rest = rest.slice(part.length);
    }
    if (next === undefined) return;
    after = next;
  }
}

type Wanted = ReturnType<typeof check>;

function check(fields: Fields, asked: EventFilter) {
  const wanted = {
    account: fields.reference("account", asked.account),
    descendants: asked.descendants,
    actor: fields.reference("actor", asked.actor),
    action: fields.reference("action", asked.action),
    target: fields.reference("target", asked.target),
    since: dateOf(fields.time("since", asked.sinceMs)),
    until: dateOf(fields.time("until", asked.untilMs)),
    outcome: fields.reference("outcome", asked.outcome),
  };
  if (wanted.action !== undefined && !AUDIT_ACTION.test(wanted.action)) {
    fields.wrong(
      "action",
      "must be an action such as gatehouse.keys.create, or gatehouse.keys.* for all of a kind",
    );
  }
  if (wanted.since !== undefined && wanted.until !== undefined && wanted.until < wanted.since) {
    fields.wrong("until", "must not be before since");
  }
  fields.check();
  return wanted;
}

async function filterOf(domain: Domain, actor: Principal, wanted: Wanted): Promise<AuditFilter> {
  const [account] = await findAccount(domain.store, actor, wanted.account);
  const { key, chain } = actor.view;
  // Who is isolated from the accounts below its own is so here too; of another account in reach it sees all.
  const isolated = account.id === key.accountId && chain[0]?.isolated === true;
  const pattern = wanted.action?.endsWith(".*") === true;
  return {
    account,
    descendants: wanted.descendants && key.kind === "MASTER" && !isolated,
    actor: wanted.actor,
    actorBelow: await isBelow(domain, wanted.actor, account.id),
    action: pattern ? undefined : wanted.action,
    actionStart: pattern ? wanted.action!.slice(0, -1) : undefined,
    target: wanted.target,
    since: wanted.since,
    until: wanted.until,
    outcome: wanted.outcome,
  };
}

/** Decides how the audit is walked, and nothing of what is seen. */
async function isBelow(domain: Domain, actor: string | undefined, accountId: string): Promise<boolean> {
  if (actor === undefined) return false;
  const chain = actor.startsWith("key_")
    ? (await domain.store.keys.find(actor))?.chain
    : await domain.store.accounts.find(actor);
  return chain?.some(({ id }) => id === accountId) === true;
}

function dateOf(ms: number | undefined): Date | undefined {
  return ms === undefined || Number.isNaN(ms) ? undefined : new Date(ms);
}
