import type { Principal } from "@gatehouse/access";
import { mintId } from "@gatehouse/keys";
import { alreadyExists, notFound } from "@gatehouse/service/failure";
import type { Account } from "../accounts/account.ts";
import { requireAtMost } from "../accounts/change-account.ts";
import { SLUG_PATTERN, SLUG_RULE } from "../accounts/slug.ts";
import { digestOf } from "../digest.ts";
import type { Domain } from "../domain.ts";
import { type Attempt, audited, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { requireNotClosed } from "../rules/closed-rule.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { definitionsGate } from "../rules/gates.ts";
import { keepingManager } from "../rules/provider-manager-rule.ts";
import type { Definition, DefinitionBodies, DefinitionKind } from "./definition.ts";
import type { Kind } from "./kind.ts";

/*
 * The one way in which everything that accounts lay down by name is created, read, changed and deleted. A `Kind` says
 * what is particular about one kind. The provider's kinds belong to the root: only its keys come this far, and their
 * own account is the root, so that naming no account names it.
 */

/** As the caller sent it; empty where it said nothing. */
export interface NamedDefinition {
  /** Of the kinds that belong to accounts. */
  readonly account?: string;
  readonly name: string;
}

export interface Defined<K extends DefinitionKind> {
  readonly definition: Definition<K>;
  readonly freshness: string;
}

/** Creates one. Creating it again as it is answers the one that is there. */
export async function createDefinition<K extends DefinitionKind>(
  domain: Domain,
  kind: Kind<K>,
  actor: Principal,
  request: NamedDefinition & { readonly body: DefinitionBodies[K] },
): Promise<Defined<K>> {
  const { pattern = SLUG_PATTERN, rule = SLUG_RULE } = kind.naming ?? {};
  const fields = new Fields();
  const account = fields.reference("account", request.account ?? "");
  fields.pattern(kind.nameField ?? "name", request.name, pattern, rule);
  const body = checked(kind, fields, request.body, namesOf(kind)) as DefinitionBodies[K];
  fields.check();
  const attempt = { actor, action: `${kind.scopes}.create`, target: request.name };
  return define(domain, kind, attempt, account, (before) => {
    if (before === undefined || sameBody(before.body, body)) return body;
    throw alreadyExists("NAME_TAKEN", `there is another ${kind.what} of that name`);
  });
}

/** Changes what the mask names, or without one what is given. */
export async function updateDefinition<K extends DefinitionKind>(
  domain: Domain,
  kind: Kind<K>,
  actor: Principal,
  request: NamedDefinition & {
    readonly body: DefinitionBodies[K];
    /** What of the body the caller said; the rest is as where a mask names what is not said. */
    readonly given: ReadonlySet<string>;
    readonly mask: readonly string[];
  },
): Promise<Defined<K>> {
  const { body } = request;
  const fields = new Fields();
  const account = reference(fields, kind, request);
  const names = namesOf(kind);
  const given = names.filter((name) => request.given.has(String(name))).map(protoName);
  const asked = fields.mask(request.mask, names.map(protoName), given);
  const patch = checked(
    kind,
    fields,
    body,
    names.filter((name) => asked.has(protoName(name))),
  );
  fields.check();
  const attempt = { actor, action: `${kind.scopes}.update`, target: request.name };
  return define(domain, kind, attempt, account, (before) => ({ ...existing(kind, before).body, ...patch }));
}

export async function deleteDefinition<K extends DefinitionKind>(
  domain: Domain,
  kind: Kind<K>,
  actor: Principal,
  request: NamedDefinition,
): Promise<{ freshness: string }> {
  const fields = new Fields();
  const account = reference(fields, kind, request);
  fields.check();
  const attempt = { actor, action: `${kind.scopes}.delete`, target: request.name };
  const { freshness } = await change(domain, kind, attempt, account, (before) => {
    existing(kind, before);
    return undefined;
  });
  return { freshness };
}

/** One of what the provider lays down, which every key may read. */
export async function getDefinition<K extends DefinitionKind>(
  domain: Domain,
  kind: Kind<K>,
  actor: Principal,
  name: string,
): Promise<Definition<K>> {
  const fields = new Fields();
  reference(fields, kind, { name });
  fields.check();
  return existing(kind, await domain.store.definitions.find(kind.kind, rootIdOf(actor), name));
}

/** All that the provider lays down, by name. */
export function listDefinitions<K extends DefinitionKind>(
  domain: Domain,
  kind: Kind<K>,
  actor: Principal,
): Promise<Definition<K>[]> {
  return domain.store.definitions.list(kind.kind, rootIdOf(actor));
}

/** Reads who is to have it and what it is called, of a request that is about one that is there. */
export function reference(
  fields: Fields,
  kind: Pick<Kind<DefinitionKind>, "what" | "nameField">,
  { account = "", name }: NamedDefinition,
): string | undefined {
  fields.reference(kind.nameField ?? kind.what, name, { required: true });
  return fields.reference("account", account);
}

type KeyAttempt = Attempt & { readonly actor: Principal };

async function define<K extends DefinitionKind>(
  domain: Domain,
  kind: Kind<K>,
  attempt: KeyAttempt,
  account: string | undefined,
  next: (before: Definition<K> | undefined) => DefinitionBodies[K],
): Promise<Defined<K>> {
  const { definition, freshness } = await change(domain, kind, attempt, account, next);
  return { definition: definition!, freshness };
}

/** Takes the step from what is there to what `next` makes of it; a step that changes nothing is none. */
function change<K extends DefinitionKind>(
  domain: Domain,
  kind: Kind<K>,
  attempt: KeyAttempt,
  account: string | undefined,
  next: (before: Definition<K> | undefined) => DefinitionBodies[K] | undefined,
): Promise<{ definition: Definition<K> | undefined; freshness: string }> {
  const { actor, target: name } = attempt;
  return audited(domain, attempt, async () => {
    requireManager(actor);
    const chain = await findAccount(domain.store, actor, account);
    const [{ id: accountId, path }] = chain;
    const { value: definition, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...path],
        changed: [
          definitionsGate(accountId),
          ...(kind.decidesCalls === true ? [accountId] : []),
          ...(kind.changedGates?.(name) ?? []),
        ],
      });
      const alive = await stillPermitted(domain, change, attempt, { chain });
      const owner = (await change.accounts.find(accountId))!;
      const all = await change.definitions.list(kind.kind, accountId);
      const before = all.find((definition) => definition.name === name);
      const body = next(before);
      if (before !== undefined && body !== undefined && sameBody(before.body, body)) return before;
      requireNotClosed(owner);
      await kind.rule?.(change, { actor: alive, owner, name, before: before?.body, after: body, all });
      const at = new Date(domain.nowMs());
      const definition = body && definitionOf(kind, { accountId, name, body, before, at });
      // Whoever changes what decides calls holds the account itself: none of its keys changes meanwhile.
      await keepingManager(change, owner[0], at.getTime(), async () => {
        if (definition === undefined) return change.definitions.delete(kind.kind, accountId, name);
        requireRoom(kind, owner[0], [...all.filter((other) => other !== before), definition]);
        return change.definitions.put(definition);
      });
      const audit = {
        target: before?.id || definition?.id || name,
        account: owner[0],
        before: before && shown(before),
        after: definition === undefined ? null : shown(definition),
      };
      await change.audit(done(attempt, at, audit));
      return definition;
    });
    return { definition, freshness };
  });
}

function definitionOf<K extends DefinitionKind>(
  { kind, idPrefix }: Kind<K>,
  made: {
    accountId: string;
    name: string;
    body: DefinitionBodies[K];
    before: Definition<K> | undefined;
    at: Date;
  },
): Definition<K> {
  const { accountId, name, body, before, at } = made;
  const id = before?.id ?? (idPrefix === undefined ? "" : mintId(idPrefix));
  return { kind, accountId, name, id, body, createdAt: before?.createdAt ?? at, updatedAt: at };
}

function shown({ name, body }: Definition<DefinitionKind>): unknown {
  return { name, ...body };
}

function requireRoom<K extends DefinitionKind>(
  { many, most, mostBytes = Number.POSITIVE_INFINITY }: Kind<K>,
  owner: Account,
  all: readonly Definition<K>[],
): void {
  requireAtMost(all.length, most, owner, many);
  const bytes = all.reduce((sum, { body }) => sum + Buffer.byteLength(JSON.stringify(body)), 0);
  requireAtMost(bytes, mostBytes, owner, `bytes of JSON in all its ${many}`);
}

function existing<K extends DefinitionKind>(
  { what }: Kind<K>,
  found: Definition<K> | undefined,
): Definition<K> {
  if (found === undefined) throw notFound(what);
  return found;
}

function checked<K extends DefinitionKind>(
  kind: Kind<K>,
  fields: Fields,
  body: DefinitionBodies[K],
  names: readonly (keyof DefinitionBodies[K])[],
): Partial<DefinitionBodies[K]> {
  const kept: Partial<DefinitionBodies[K]> = {};
  for (const name of names) kept[name] = kind.fields[name](fields, protoName(name), body[name]);
  return kept;
}

function namesOf<K extends DefinitionKind>(kind: Kind<K>): (keyof DefinitionBodies[K])[] {
  return Object.keys(kind.fields) as (keyof DefinitionBodies[K])[];
}

/** `scopeCeiling` → `scope_ceiling` */
function protoName(name: PropertyKey): string {
  return String(name).replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function sameBody(left: object, right: object): boolean {
  return digestOf(left) === digestOf(right);
}

function rootIdOf({ view }: Principal): string {
  return view.chain.at(-1)!.id;
}
