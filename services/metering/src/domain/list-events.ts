import {
  type AccountNode,
  AUDIT_ACTION,
  type AuditEvent,
  type AuditFilter,
  type AuditPlace,
  type AuditReads,
  type EventFilter,
  type KeyView,
  type Principal,
} from "@gatehouse/access";
import { isId } from "@gatehouse/keys";
import { Fields } from "./fields.ts";
import type { Mirror } from "./mirror.ts";
import { nodeInReach, readerOf } from "./node-in-reach.ts";
import { type Page, type PageDraft, pageSizeOf, pageSizeViolations, TOKEN_VIOLATION } from "./page.ts";
import { stillPermitted } from "./still-permitted.ts";

export interface AuditDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly events: AuditReads & {
    /** Of the clock that events are dated by. */
    databaseNowMs(): Promise<number>;
  };
  readonly nowMs: () => number;
}

/** Some hundred kilobytes at most. */
const EXPORTED_AT_ONCE = 500;

/**
 * What concerns an account, newest first. A page may have few events, or none, and be followed by more. Throws Failure
 * INVALID_ARGUMENT, NOT_FOUND.
 */
export async function listEvents(
  { mirror, events }: AuditDependencies,
  caller: KeyView,
  { pageSize, pageToken, ...asked }: EventFilter & PageDraft,
): Promise<Page<AuditEvent>> {
  const fields = checkedFields(asked);
  fields.violations.push(...pageSizeViolations({ pageSize, pageToken }));
  if (pageToken !== "" && !isId("evt", pageToken)) fields.violations.push(TOKEN_VIOLATION);
  fields.check();
  const filter = await filterOf(mirror, caller, asked);
  const after = pageToken === "" ? undefined : await events.placeOf(pageToken);
  // What it would go on after has passed the retention, and so has all that is older.
  if (pageToken !== "" && after === undefined) return { rows: [], nextPageToken: "" };
  const page = await events.list(filter, { after, limit: pageSizeOf(pageSize), newestFirst: true });
  return { rows: page.events, nextPageToken: page.next?.id ?? "" };
}

/**
 * The same as parts of a stream, oldest first, up to what there was when it began. That the key may still read it is
 * looked at before each part. Throws Failure as listEvents, and as any call of a key that may not.
 */
export async function* exportEvents(
  { mirror, events, nowMs }: AuditDependencies,
  principal: Principal,
  asked: EventFilter,
): AsyncGenerator<readonly AuditEvent[]> {
  const fields = checkedFields(asked);
  fields.check();
  // What happens at this very millisecond is part of it.
  const endMs = (await events.databaseNowMs()) + 1;
  const untilMs = Math.min(asked.untilMs ?? endMs, endMs);
  // By id: what the name stands for may change.
  const { account } = await filterOf(mirror, principal.view, asked);
  const bounded = { ...asked, account: account.id, untilMs };
  for (let after: AuditPlace | undefined; ; ) {
    const view = await stillPermitted(mirror, principal, "gatehouse.audit.read", nowMs());
    const filter = await filterOf(mirror, view, bounded);
    const page = await events.list(filter, { after, limit: EXPORTED_AT_ONCE, newestFirst: false });
    if (page.events.length > 0) yield page.events;
    if (page.next === undefined) return;
    after = page.next;
  }
}

function checkedFields(asked: EventFilter): Fields {
  const fields = new Fields();
  fields.account("account", asked.account, { isRequired: false });
  for (const field of ["actor", "action", "target", "outcome"] as const) fields.text(field, asked[field]);
  if (asked.action !== "" && !AUDIT_ACTION.test(asked.action)) {
    fields.wrong(
      "action",
      "must be an action such as gatehouse.limits.set, or gatehouse.limits.* for all of a kind",
    );
  }
  const sinceMs = fields.time("since", asked.sinceMs) ?? Number.NEGATIVE_INFINITY;
  const untilMs = fields.time("until", asked.untilMs) ?? Number.POSITIVE_INFINITY;
  fields.unless(sinceMs <= untilMs, "until", "must not be before since");
  return fields;
}

async function filterOf(mirror: Mirror, caller: KeyView, asked: EventFilter): Promise<AuditFilter> {
  const named = asked.account === "" ? undefined : ({ kind: "ACCOUNT", name: asked.account } as const);
  const { id, chain } = await nodeInReach(mirror, caller, named);
  const isPattern = asked.action.endsWith(".*");
  return {
    account: { id, path: chain.map((account) => account.id).reverse() },
    descendants: asked.descendants && readerOf(caller).seesBelow,
    actor: asked.actor || undefined,
    actorBelow: await isBelow(mirror, asked.actor, id),
    action: isPattern ? undefined : asked.action || undefined,
    actionStart: isPattern ? asked.action.slice(0, -1) : undefined,
    target: asked.target || undefined,
    since: dateOf(asked.sinceMs),
    until: dateOf(asked.untilMs),
    outcome: asked.outcome || undefined,
  };
}

/** Decides how the audit is walked, and nothing of what is seen. */
async function isBelow(mirror: Mirror, actor: string, accountId: string): Promise<boolean> {
  const isThere = (chain: readonly AccountNode[]) => chain.some(({ id }) => id === accountId);
  // What is elsewhere is looked for once more, as what is not there: the way must not be shorter.
  const chain = isId("key", actor)
    ? (await mirror.findKey(actor, (view) => isThere(view.chain)))?.chain
    : isId("acc", actor)
      ? await mirror.findChain({ by: "id", id: actor }, isThere)
      : undefined;
  return chain !== undefined && isThere(chain);
}

function dateOf(ms: number | undefined): Date | undefined {
  return ms === undefined ? undefined : new Date(ms);
}
