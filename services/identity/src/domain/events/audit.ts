import { type AuditEvent, isRefusal, type Principal, refusedTarget } from "@gatehouse/access";
import { mintId } from "@gatehouse/keys";
import { Failure } from "@gatehouse/service/failure";
import type { Account } from "../accounts/account.ts";
import type { Domain } from "../domain.ts";
import type { Key } from "../keys/key.ts";

export type { AuditEvent };

/** What an attempt is, before it is known how it ends. */
export interface Attempt {
  /** Undefined where nobody presented a key. */
  readonly actor: Principal | undefined;
  readonly action: string;
  /** As the caller named it. */
  readonly target: string;
  /** The account that it concerns, where there is no actor. */
  readonly account?: Pick<Account, "path">;
}

/** The event of a change that is made. */
export function done(
  attempt: Attempt,
  at: Date,
  change: { target: string; account: Pick<Account, "path">; before?: unknown; after: unknown },
): AuditEvent {
  const { target, account, before = null, after } = change;
  return { ...eventOf(attempt, at), outcome: "OK", target, accountPath: account.path, before, after };
}

/**
 * Runs an attempt, as one of its organization's share; where it is refused, the refusal is on record before the caller
 * hears of it.
 */
export async function audited<T>(domain: Domain, attempt: Attempt, run: () => Promise<T>): Promise<T> {
  try {
    return await domain.shares.run(organizationOf(attempt), run);
  } catch (error) {
    if (error instanceof Failure && isRefusal(error)) await recordRefusal(domain, attempt, error);
    throw error;
  }
}

/**
 * Puts a refusal on record, unless the key has as many there as it may have in a minute. It stands as a refusal where
 * that fails too.
 */
export async function recordRefusal(domain: Domain, attempt: Attempt, refusal: Failure): Promise<void> {
  const nowMs = domain.nowMs();
  const event = eventOf(attempt, new Date(nowMs));
  const { actor, account } = attempt;
  const accountPath = actor?.view.chain.map(({ id }) => id).reverse() ?? account?.path ?? [];
  const target = refusedTarget(event.target, actor);
  const refused = { ...event, target, accountPath, outcome: refusal.reason, before: null, after: null };
  await domain.refusals.put(event.actorKeyId, nowMs, () => domain.store.recordRefusal(refused));
}

/** An account as the audit shows it. */
export function auditedAccount(account: Account): object {
  const { slug, name, type, status, suspensionReason, plan, profile, labels, parentId } = account;
  const { scopeCeiling, enabledTypes, isolated, leakPolicy, terms, upstreamCredential } = account;
  const { formerSlugs, providerRules } = account;
  return {
    parentId,
    slug,
    formerSlugs,
    name,
    type,
    status,
    suspensionReason,
    plan,
    profile,
    labels,
    scopeCeiling,
    enabledTypes,
    isolated,
    leakPolicy,
    terms,
    hasUpstreamCredential: upstreamCredential !== "",
    ...(providerRules && { importPrefixes: providerRules.importPrefixes }),
  };
}

/** A key as the audit shows it. */
export function auditedKey(key: Key): unknown {
  const { secretHashes: _, retiringHashes, signing, createdAt: __, updatedAt: ___, ...shown } = key;
  return {
    ...shown,
    signing: signing && { algorithm: signing.algorithm, strictReplay: signing.strictReplay },
    graceEndsAt: retiringHashes.map(({ untilMs }) => new Date(untilMs)),
  };
}

/** The organization that the actor is of, or that it concerns; the provider counts as one. */
function organizationOf({ actor, account }: Attempt): string {
  const path = actor === undefined ? account?.path : actor.view.chain.map(({ id }) => id).reverse();
  return path?.[1] ?? "";
}

function eventOf({ actor, action, target }: Attempt, at: Date) {
  const { id: actorKeyId = "", accountId: actorAccountId = "" } = actor?.view.key ?? {};
  return { id: mintId("evt"), at, actorKeyId, actorAccountId, action, target };
}
