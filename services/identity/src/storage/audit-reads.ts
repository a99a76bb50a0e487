import type { EntityManager } from "typeorm";
import type { AuditEvent } from "../domain/audit.ts";
import type { AuditFilter, AuditPage, AuditPlace, AuditReads } from "../domain/audit-store.ts";
import { type AuditRow, auditEventOf } from "./audit-row.ts";

/** Events that one page looks at, where no index has what is asked for: some tens of milliseconds. */
const MAX_WALKED = 10_000;

/** Rows of one statement of the sweep: some tens of milliseconds. */
const SWEEP_SLICE = 5000;

/**
 * The audit, read in the order of time. Every page is a walk along one index, from where it begins:
 * - by target, or by an actor below the account, the walk meets hardly anything but what is asked for;
 * - else it goes through the account's events, or the organization's, or all, and looks at 10 000 of them at most: a
 *   page may then be empty and be followed by more. What it walks is what the caller may see, or that would tell
 *   how much there is besides. Of an account deep in an organization it cannot be so, and the walk has no such end.
 */
export class AuditReader implements AuditReads {
  readonly #manager: EntityManager;

  constructor(manager: EntityManager) {
    this.#manager = manager;
  }

  async placeOf(eventId: string): Promise<AuditPlace | undefined> {
    const [row] = await this.#manager.query<{ at: string; id: string }[]>(
      "SELECT at::text, id FROM audit_event WHERE id = $1",
      [eventId],
    );
    return row;
  }

  async list(
    filter: AuditFilter,
    { after, limit, newestFirst }: { after: AuditPlace | undefined; limit: number; newestFirst: boolean },
  ): Promise<AuditPage> {
    const query = new Conditions();
    const scope = scopeOf(filter, query);
    const matches = matchesOf(filter, query);
    const begins: string[] = [];
    if (filter.since !== undefined) begins.push(`at >= ${query.value(filter.since)}`);
    if (filter.until !== undefined) begins.push(`at < ${query.value(filter.until)}`);
    if (after !== undefined) {
      const place = `(${query.value(after.at)}::timestamptz, ${query.value(after.id)}::text)`;
      begins.push(`(at, id) ${newestFirst ? "<" : ">"} ${place}`);
    }
    const order = newestFirst ? "at DESC, id DESC" : "at, id";
    const sought = filter.target !== undefined || (filter.actor !== undefined && filter.actorBelow);
    if (sought || !scope.exact || matches.length === 0) {
      const where = allOf([...scope.conditions, ...matches, ...begins]);
      const rows = await this.#manager.query<PlacedRow[]>(
        `SELECT *, at::text AS place FROM audit_event WHERE ${where} ORDER BY ${order}
         LIMIT ${query.value(limit + 1)}`,
        query.values,
      );
      return pageOf(rows, limit);
    }
    const rows = await this.#manager.query<WalkedRow[]>(
      `WITH walked AS MATERIALIZED (
         SELECT id, at, actor_key_id, actor_account_id, action, target, outcome FROM audit_event
         WHERE ${allOf([...scope.conditions, ...begins])} ORDER BY ${order} LIMIT ${query.value(MAX_WALKED)}
       ), found AS (
         SELECT id FROM walked WHERE ${allOf(matches)} ORDER BY ${order} LIMIT ${query.value(limit + 1)}
       ), ended AS (
         SELECT id AS last_id, at::text AS last_at FROM walked ORDER BY ${order}
         OFFSET ${query.value(MAX_WALKED - 1)} LIMIT 1
       )
       SELECT e.*, e.at::text AS place, ended.last_id, ended.last_at
       FROM (SELECT) AS one LEFT JOIN ended ON true LEFT JOIN found ON true LEFT JOIN audit_event e ON e.id = found.id
       ORDER BY e.at ${newestFirst ? "DESC" : "ASC"}, e.id ${newestFirst ? "DESC" : "ASC"}`,
      query.values,
    );
    const page = pageOf(rows.filter(({ id }) => id !== null) as PlacedRow[], limit);
    const [{ last_id: id, last_at: at } = { last_id: null, last_at: null }] = rows;
    if (page.next !== undefined || id === null || at === null) return page;
    return { ...page, next: { id, at } };
  }
}

/** Forgets events from before a time, a slice at a time. */
export async function sweepAudit(manager: EntityManager, before: Date): Promise<void> {
  for (let deleted = SWEEP_SLICE; deleted === SWEEP_SLICE; ) {
    [, deleted] = await manager.query<[unknown, number]>(
      `DELETE FROM audit_event WHERE id IN (
         SELECT id FROM audit_event WHERE at < $1 ORDER BY at, id LIMIT $2 FOR UPDATE SKIP LOCKED)`,
      [before, SWEEP_SLICE],
    );
  }
}

type PlacedRow = AuditRow & { place: string };
type WalkedRow = Partial<PlacedRow> & { id: string | null; last_id: string | null; last_at: string | null };

/** Collects the values of a statement's conditions. */
class Conditions {
  readonly values: unknown[] = [];

  value(value: unknown): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }
}

/** `exact`: one index has these events and no others. */
function scopeOf({ account, descendants }: AuditFilter, query: Conditions) {
  const { id, path } = account;
  if (!descendants) return { exact: true, conditions: [`account_id = ${query.value(id)}`] };
  if (path.length === 1) return { exact: true, conditions: [] };
  const organization = `account_path[2] = ${query.value(path[1])}`;
  if (path.length === 2) return { exact: true, conditions: [organization] };
  return { exact: false, conditions: [organization, `account_path @> ARRAY[${query.value(id)}]`] };
}

function matchesOf(filter: AuditFilter, query: Conditions): string[] {
  const { actor, action, actionStart, target, outcome } = filter;
  const matches: string[] = [];
  if (target !== undefined) matches.push(`target = ${query.value(target)}`);
  if (actor !== undefined) {
    const column = actor.startsWith("acc_") ? "actor_account_id" : "actor_key_id";
    matches.push(`${column} = ${query.value(actor)}`);
  }
  if (action !== undefined) matches.push(`action = ${query.value(action)}`);
  if (actionStart !== undefined) matches.push(`starts_with(action, ${query.value(actionStart)})`);
  if (outcome !== undefined) matches.push(`outcome = ${query.value(outcome)}`);
  return matches;
}

function allOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? "true" : conditions.join(" AND ");
}

function pageOf(rows: readonly PlacedRow[], limit: number): AuditPage {
  const events: AuditEvent[] = rows.slice(0, limit).map(auditEventOf);
  const last = rows.length > limit ? rows[limit - 1] : undefined;
  return { events, next: last && { at: last.place, id: last.id } };
}
