import type {
  AuditEvent,
  AuditFilter,
  AuditPage,
  AuditPlace,
  AuditReads,
  AuditStretch,
} from "@gatehouse/access";
import type { EntityManager } from "typeorm";

/** A row of `audit_event`, in every service that has an audit. */
export interface AuditRow {
  id: string;
  at: Date;
  actor_key_id: string;
  actor_account_id: string;
  action: string;
  target: string;
  outcome: string;
  before: object | null;
  after: object | null;
  account_id: string;
  account_path: string[];
}

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
    const [row] = await this.#select<PlaceRow>(PLACE, [equal("id", eventId)], "");
    return row && placeOf(row);
  }

  async list(filter: AuditFilter, { after, limit, newestFirst }: AuditStretch): Promise<AuditPage> {
    const order = newestFirst ? "at DESC, id DESC" : "at, id";
    const { exact, conditions: scope } = scopeOf(filter);
    const walked = [...scope, ...timesOf(filter)];
    if (after !== undefined) walked.push(placed(newestFirst ? "<" : ">", after));
    const matches = matchesOf(filter);
    const sought = filter.target !== undefined || (filter.actor !== undefined && filter.actorBelow);

    let end: AuditPlace | undefined;
    if (exact && matches.length > 0 && !sought) {
      const tail = `ORDER BY ${order} OFFSET ${MAX_WALKED - 1} LIMIT 1`;
      const [last] = await this.#select<PlaceRow>(PLACE, walked, tail);
      end = last && placeOf(last);
    }
    if (end !== undefined) walked.push(placed(newestFirst ? ">=" : "<=", end));
    const tail = `ORDER BY ${order} LIMIT ${limit + 1}`;
    const rows = await this.#select<AuditRow & PlaceRow>(`*, ${PLACE}`, [...walked, ...matches], tail);
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    const next = last === undefined ? end : placeOf(last);
    return { events: rows.slice(0, limit).map(auditEventOf), next };
  }

  #select<Row>(columns: string, conditions: readonly Condition[], tail: string): Promise<Row[]> {
    const values: unknown[] = [];
    const parameter = (value: unknown) => `$${values.push(value)}`;
    const where = conditions.map((condition) => condition(parameter)).join(" AND ");
    return this.#manager.query<Row[]>(
      `SELECT ${columns} FROM audit_event WHERE ${where || "true"} ${tail}`,
      values,
    );
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

/** Times in full: a Date has milliseconds. */
const PLACE = "at::text AS place, id";

interface PlaceRow {
  readonly place: string;
  readonly id: string;
}

function placeOf({ place, id }: PlaceRow): AuditPlace {
  return { at: place, id };
}

function auditEventOf(row: AuditRow): AuditEvent {
  return {
    id: row.id,
    at: row.at,
    actorKeyId: row.actor_key_id,
    actorAccountId: row.actor_account_id,
    action: row.action,
    target: row.target,
    outcome: row.outcome,
    before: row.before,
    after: row.after,
    accountPath: row.account_path,
  };
}

/** A condition in SQL, given what makes a parameter of a value. */
type Condition = (parameter: (value: unknown) => string) => string;

/** `exact`: one index has these events and no others. */
function scopeOf({ account, descendants }: AuditFilter): { exact: boolean; conditions: Condition[] } {
  const { id, path } = account;
  if (!descendants) return { exact: true, conditions: [equal("account_id", id)] };
  if (path.length === 1) return { exact: true, conditions: [] };
  const organization = equal("account_path[2]", path[1]);
  if (path.length === 2) return { exact: true, conditions: [organization] };
  const below: Condition = (parameter) => `account_path @> ARRAY[${parameter(id)}]::text[]`;
  return { exact: false, conditions: [organization, below] };
}

function timesOf({ since, until }: AuditFilter): Condition[] {
  return [
    ...(since === undefined ? [] : [((parameter) => `at >= ${parameter(since)}`) satisfies Condition]),
    ...(until === undefined ? [] : [((parameter) => `at < ${parameter(until)}`) satisfies Condition]),
  ];
}

function matchesOf({ actor, action, actionStart, target, outcome }: AuditFilter): Condition[] {
  const actorColumn = actor?.startsWith("acc_") ? "actor_account_id" : "actor_key_id";
  return [
    ...(target === undefined ? [] : [equal("target", target)]),
    ...(actor === undefined ? [] : [equal(actorColumn, actor)]),
    ...(action === undefined ? [] : [equal("action", action)]),
    ...(actionStart === undefined ? [] : [startsWith("action", actionStart)]),
    ...(outcome === undefined ? [] : [equal("outcome", outcome)]),
  ];
}

function equal(column: string, value: unknown): Condition {
  return (parameter) => `${column} = ${parameter(value)}`;
}

function startsWith(column: string, value: string): Condition {
  return (parameter) => `starts_with(${column}, ${parameter(value)})`;
}

/** Before or after a place. Of the pair the planner knows nothing; the time alone says how little is left. */
function placed(operator: "<" | ">" | "<=" | ">=", { at, id }: AuditPlace): Condition {
  return (parameter) => {
    const time = `${parameter(at)}::timestamptz`;
    return `at ${operator.charAt(0)}= ${time} AND (at, id) ${operator} (${time}, ${parameter(id)}::text)`;
  };
}
