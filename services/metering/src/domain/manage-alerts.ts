import type { KeyView } from "@gatehouse/access";
import { mintWebhookSecret, secretContext } from "@gatehouse/events/webhook";
import { isId, mintId, type Sealer } from "@gatehouse/keys";
import {
  alreadyExists,
  denied,
  Failure,
  invalid,
  notFound,
  type Violation,
} from "@gatehouse/service/failure";
import { actorOf } from "./actor.ts";
import { type Alert, type AlertTerms, MAX_ALERTS, sameTerms } from "./alert.ts";
import { type AlertDraft, readAlertDraft } from "./alert-draft.ts";
import type { AlertStore } from "./alert-store.ts";
import { isKnownMeter } from "./known-meter.ts";
import { isQuota, type Limit } from "./limit.ts";
import type { LimitStore } from "./limit-store.ts";
import type { Mirror } from "./mirror.ts";
import {
  knownNodeInReach,
  type NodeName,
  nameViolations,
  nodeInReach,
  nodeViolations,
  type ReachedNode,
  readerOf,
} from "./node-in-reach.ts";
import { type Page, type PageDraft, pageOf, pageSizeViolations, TOKEN_VIOLATION } from "./page.ts";

export interface AlertDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly store: AlertStore;
  readonly limits: Pick<LimitStore, "find">;
  readonly sealer: Sealer;
  /** Lets webhooks be at `http`. For development and tests. */
  readonly insecure: boolean;
}

/**
 * Creates an alert on a node in reach. Creating one of a name again as it is answers the one that is there, without its
 * secret. Throws Failure INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED (KEY_KIND_DENIED), ALREADY_EXISTS (NAME_TAKEN), RESOURCE_EXHAUSTED (PLAN_LIMIT).
 */
export async function createAlert(
  dependencies: AlertDependencies,
  caller: KeyView,
  named: NodeName | undefined,
  draft: AlertDraft,
): Promise<{ alert: Alert; secret: string }> {
  const { store, sealer } = dependencies;
  requireManager(caller);
  const terms = await checkedTerms(dependencies, named, draft);
  const { id: nodeId, kind, chain } = await nodeOf(dependencies, caller, named, terms);
  requireBelow(caller, terms);
  const accountId = chain[0]!.id;
  const id = mintId("alr");
  const secret = terms.webhookUrl === "" ? "" : mintWebhookSecret();
  const sealedSecret = secret && sealer.seal(secret, secretContext({ accountId, name: id }));
  const wanted = { id, node: { kind, id: nodeId }, accountId, sealedSecret, ...terms };
  const inserted = await store.insert(wanted, MAX_ALERTS, actorOf(caller));
  if (inserted === undefined) throw tooMany(accountId);
  const { alert, isNew } = inserted;
  if (isNew) return { alert, secret };
  if (sameTerms(alert, terms)) return { alert, secret: "" };
  throw alreadyExists("NAME_TAKEN", "an alert of that name on the same node is another");
}

/** The alerts on one node, oldest first. Throws Failure INVALID_ARGUMENT, NOT_FOUND. */
export async function listAlerts(
  { mirror, store }: AlertDependencies,
  caller: KeyView,
  named: NodeName | undefined,
  draft: PageDraft,
): Promise<Page<Alert>> {
  const { pageToken } = draft;
  const violations = [...nodeViolations(named), ...pageSizeViolations(draft)];
  if (pageToken !== "" && !isId("alr", pageToken)) violations.push(TOKEN_VIOLATION);
  if (violations.length > 0) throw invalid(violations);
  const { id } = await nodeInReach(mirror, caller, named);
  return pageOf(
    draft,
    (count) => store.list(id, pageToken, count),
    (last) => last.id,
  );
}

/** Deletes an alert and what was on its way to its webhook. Throws Failure INVALID_ARGUMENT, NOT_FOUND. */
export async function deleteAlert(
  dependencies: AlertDependencies,
  caller: KeyView,
  alertId: string,
): Promise<void> {
  requireManager(caller);
  const alert = await alertInReach(dependencies, caller, alertId);
  if (!(await dependencies.store.delete(alert, actorOf(caller)))) throw notFound("alert");
}

/** An alert on a node in reach. Throws Failure INVALID_ARGUMENT, with `more`, and NOT_FOUND. */
export async function alertInReach(
  { mirror, store }: AlertDependencies,
  caller: KeyView,
  alertId: string,
  more: readonly Violation[] = [],
): Promise<Alert> {
  const violations = [...nameViolations("alert", alertId), ...more];
  if (alertId === "") violations.unshift({ field: "alert", description: "is required" });
  if (violations.length > 0) throw invalid(violations);
  const alert = isId("alr", alertId) ? await store.find(alertId) : undefined;
  // The node of an alert that is not there is looked for all the same: the way must not be shorter.
  const node = await knownNodeInReach(mirror, caller, alert?.node ?? { kind: "ACCOUNT", id: alertId });
  if (alert === undefined || node === undefined) throw notFound("alert");
  return alert;
}

/** Throws Failure PERMISSION_DENIED: a sub-key reads, and changes nothing. */
export function requireManager({ key }: KeyView): void {
  if (key.kind === "SUB") throw denied("KEY_KIND_DENIED", "a sub-key has no alerts made or changed");
}

/** Throws Failure PERMISSION_DENIED: sums of what is below an account are for who reaches that, as its events are. */
export function requireBelow(caller: KeyView, { subject }: AlertTerms): void {
  if (!("descendants" in subject && subject.descendants) || readerOf(caller).seesBelow) return;
  throw denied("KEY_KIND_DENIED", "what is below an account is for its master keys, unless it is isolated");
}

async function checkedTerms(
  { mirror, insecure }: AlertDependencies,
  named: NodeName | undefined,
  draft: AlertDraft,
): Promise<AlertTerms> {
  const isAccount = named?.kind !== "KEY";
  const { terms, violations } = readAlertDraft(draft, { isAccount, insecure });
  const more: Violation[] = [...nodeViolations(named), ...violations];
  const { subject } = draft;
  if (subject?.kind === "USAGE" && subject.meter !== "" && !(await isKnownMeter(mirror, subject.meter))) {
    more.push({ field: "usage.meter", description: "no such meter" });
  }
  if (terms === undefined || more.length > 0) throw invalid(more);
  return terms;
}

/** The node that an alert is about: a limit's own. */
async function nodeOf(
  { mirror, limits }: AlertDependencies,
  caller: KeyView,
  named: NodeName | undefined,
  { subject }: AlertTerms,
): Promise<ReachedNode> {
  if (subject.kind !== "LIMIT") return nodeInReach(mirror, caller, named);
  const node = named && (await nodeInReach(mirror, caller, named));
  const { limitId } = subject;
  const limit = isId("lim", limitId) ? await limits.find(limitId) : undefined;
  // The node of a limit that is not there is looked for all the same: the way must not be shorter.
  const ofLimit = await knownNodeInReach(mirror, caller, limit?.node ?? { kind: "ACCOUNT", id: limitId });
  if (limit === undefined || ofLimit === undefined) throw notFound("limit");
  const violations = limitViolations(limit, node);
  if (violations.length > 0) throw invalid(violations);
  return ofLimit;
}

function limitViolations(limit: Limit, node: ReachedNode | undefined): Violation[] {
  const field = "limit.limit";
  if (!isQuota(limit)) return [{ field, description: "must be a quota; a rate has no window" }];
  if (node === undefined || node.id === limit.node.id) return [];
  return [{ field, description: "is on another node" }];
}

function tooMany(accountId: string): Failure {
  const description = `an account has at most ${MAX_ALERTS} alerts, with those of its keys`;
  const quota = [{ subject: `account:${accountId}`, description }];
  return new Failure({ code: "RESOURCE_EXHAUSTED", reason: "PLAN_LIMIT", message: description, quota });
}
