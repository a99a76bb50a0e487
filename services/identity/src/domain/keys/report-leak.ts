import { isInSubtree, type Principal, providerRulesOf, secretMatches } from "@gatehouse/access";
import { redact } from "@gatehouse/keys";
import { type Failure, invalid } from "@gatehouse/service/failure";
import type { Chain, LeakPolicy } from "../accounts/account.ts";
import type { Domain } from "../domain.ts";
import { type Attempt, audited, auditedKey, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { gatesOf, reliedOnBy, stillAlive } from "../rules/actor.ts";
import { isOnlyManager, managerGates } from "../rules/provider-manager-rule.ts";
import type { Change } from "../store.ts";
import { type FoundCredential, foundCredentials } from "./found-credentials.ts";
import type { KeyInTree } from "./key.ts";

/** As the caller sent it. */
export interface ReportLeakRequest {
  readonly secrets: readonly string[];
  readonly source: string;
}

/** What became of one string. */
export interface LeakReport {
  readonly keyId: string | undefined;
  readonly policy: LeakPolicy | undefined;
}

const MAX_SECRETS = 100;
const MAX_SECRET = 1000;
/** One transaction holds up the calls of all of them. */
const MAX_KEYS = 100;
/** A key that leaked is told of once in this time while nothing else is to be done about it. */
const TOLD_AGAIN_MS = 24 * 60 * 60 * 1000;
const MAX_SOURCE = 500;
/** Where no account of the key's chain says otherwise: it can be undone, and stops the thief. */
const DEFAULT_POLICY: LeakPolicy = "DISABLE";
const STRICTEST_FIRST: readonly LeakPolicy[] = ["REVOKE", "DISABLE", "NOTIFY"];

/**
 * Deals with credentials that were found where they should not be, as the leak policies of their accounts say. The
 * caller has the credentials, so any kind of key may tell of them, and of any kind: also of itself. Those of keys
 * outside the subtree of the caller's account are answered as what is no credential at all.
 */
export function reportLeak(
  domain: Domain,
  actor: Principal,
  { secrets, source }: ReportLeakRequest,
): Promise<{ reports: LeakReport[]; freshness: string }> {
  check(secrets, source);
  const attempt = { actor, action: "gatehouse.keys.report-leak", target: "" };
  return audited(domain, attempt, async () => {
    const prefixes = providerRulesOf(actor.view.chain)?.importPrefixes ?? [];
    const found = secrets.map((text) => foundCredentials(text, domain.format, prefixes));
    const known = await keysOf(domain, actor, found.flat());
    // Where they were found may quote them, or others: the audit must not. Nobody looks any of these up.
    const quoted = foundCredentials(source, domain.format, prefixes, source.length);
    const where = withoutCredentials(source, secrets, [...found.flat(), ...quoted], domain.format.prefix);
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...[...known.values()].flatMap(gatesOf)],
        changed: [...known.keys(), ...[...known.values()].flatMap(({ chain }) => managerGates(chain[0]))],
      });
      await stillAlive(domain, change, actor);
      const leaked = new Map<string, KeyInTree>();
      for (const keyId of known.keys()) leaked.set(keyId, (await change.keys.find(keyId))!);
      const idsIn = (credentials: readonly FoundCredential[]) =>
        [...leaked].flatMap(([keyId, view]) =>
          credentials.some(({ presented }) => secretMatches(view, presented, domain.nowMs())) ? keyId : [],
        );
      // Judged before anything is revoked: what is in two strings is reported for both.
      const ids = found.map(idsIn);
      const dealt = new Map<string, LeakPolicy>();
      for (const keyId of new Set(ids.flat())) {
        dealt.set(keyId, await deal(domain, change, attempt, leaked.get(keyId)!, where));
      }
      return ids.map(([keyId]) => ({ keyId, policy: keyId === undefined ? undefined : dealt.get(keyId) }));
    });
    return { reports: value, freshness };
  });
}

function check(secrets: readonly string[], source: string): void {
  const fields = new Fields();
  if (secrets.length < 1 || secrets.length > MAX_SECRETS) {
    fields.wrong("secrets", `must have 1 to ${MAX_SECRETS} strings`);
  }
  for (const [index, secret] of secrets.slice(0, MAX_SECRETS).entries()) {
    // As they were found: with whatever was around them.
    if (secret === "" || secret.length > MAX_SECRET) {
      fields.wrong(`secrets[${index}]`, `must have 1 to ${MAX_SECRET} characters`);
    }
  }
  fields.text("source", source, { max: MAX_SOURCE });
  fields.check();
}

/** The keys in the subtree of the caller's account that the credentials say they are of; they may not be. */
async function keysOf(
  domain: Domain,
  actor: Principal,
  credentials: readonly FoundCredential[],
): Promise<ReadonlyMap<string, KeyInTree>> {
  const own = new Set(credentials.flatMap(({ keyId }) => keyId ?? []));
  // Before anything is looked up, and then of what is found: neither tells of keys that are foreign.
  if (own.size > MAX_KEYS) throw tooMany();
  const hashes = credentials.filter(({ keyId }) => keyId === undefined).map(({ hash }) => hash);
  const imported = hashes.length === 0 ? [] : (await domain.store.imported.find(hashes)).values();
  const known = new Map<string, KeyInTree>();
  for (const keyId of new Set([...own, ...imported])) {
    const found = await domain.store.keys.find(keyId);
    if (found !== undefined && isInSubtree(actor.view, found.chain)) known.set(keyId, found);
  }
  if (known.size > MAX_KEYS) throw tooMany();
  return known;
}

function tooMany(): Failure {
  const description = `must have credentials of at most ${MAX_KEYS} keys: report them in parts`;
  return invalid([{ field: "secrets", description }]);
}

/** What is to be done about the key. Of the provider's only manager it is told, and no more. */
async function policyFor(change: Change, view: KeyInTree, nowMs: number): Promise<LeakPolicy> {
  const policy = policyOf(view.chain);
  if (policy === "NOTIFY" || !(await isOnlyManager(change, view, nowMs))) return policy;
  return "NOTIFY";
}

/** The strictest of what the accounts say: a thief who sets one account's does not get away with it. */
function policyOf(chain: Chain): LeakPolicy {
  const said = chain.flatMap(({ leakPolicy }) => leakPolicy ?? []);
  return STRICTEST_FIRST.find((policy) => said.includes(policy)) ?? DEFAULT_POLICY;
}

/**
 * Stops the key as its policy says and puts that on record. Where nothing is to be stopped the record is to tell its
 * owner, and does so once a day: a leaked credential is reported by whoever finds it, over and over.
 */
async function deal(
  domain: Domain,
  change: Change,
  attempt: Attempt,
  view: KeyInTree,
  source: string,
): Promise<LeakPolicy> {
  const { key, chain } = view;
  const at = new Date(domain.nowMs());
  const policy = await policyFor(change, view, at.getTime());
  const stops = policy === "REVOKE" || (policy === "DISABLE" && key.status !== "DISABLED");
  const tells = await change.keys.tellLeaked(key.id, at, new Date(at.getTime() - TOLD_AGAIN_MS));
  if (!stops && !tells) return policy;
  if (policy === "REVOKE") await change.keys.revoke(key.id, at);
  else if (stops) await change.keys.setStatus(key.id, "DISABLED", at);
  const { key: after } = (await change.keys.find(key.id))!;
  await change.audit(
    done(attempt, at, {
      target: key.id,
      account: chain[0],
      before: auditedKey(key),
      after: { ...(auditedKey(after) as object), leak: { source, policy } },
    }),
  );
  return policy;
}

function withoutCredentials(
  source: string,
  secrets: readonly string[],
  credentials: readonly FoundCredential[],
  prefix: string,
): string {
  const texts = [...secrets, ...credentials.map(({ presented }) => presented)];
  // The longest first: a part hidden in it would leave the rest.
  const hidden = texts
    .toSorted((left, right) => right.length - left.length)
    .reduce((text, secret) => text.replaceAll(secret, "…"), source);
  return redact(hidden, prefix);
}
