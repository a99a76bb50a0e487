import type { RateState } from "@gatehouse/buckets";
import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import { unavailable } from "@gatehouse/service/failure";
import type { EntityManager } from "typeorm";
import { applyPlans, type OrganizationPlan, type PlanChanges, type PlanTx } from "../domain/apply-plan.ts";
import type { Limit, LimitTerms } from "../domain/limit.ts";
import { type ClockOffset, readNowMs } from "./clock.ts";
import { limitsOn } from "./find-limits.ts";
import { changeableOf, identityOf } from "./limit-row.ts";
import { lockQuotas } from "./lock-quotas.ts";
import { lockRates, writeRates } from "./rate-states.ts";
import { recallLeases } from "./recall.ts";

/**
 * Organizations of one transaction: with fifty limits each some tens of milliseconds, in which nobody sets a limit on
 * them. A plan of ten thousand is a hundred transactions.
 */
const MAX_ORGANIZATIONS = 100;
/** Each time somebody would have to change the plan again meanwhile. */
const MAX_TRIES = 5;

/** SQL: the ids of the organizations among `$n` that do not have the limits of their plan. */
export const outdatedAmong = (ids: string) => `ARRAY(
  SELECT o.account_id FROM organization_plan o JOIN plan p ON p.name = o.plan
  WHERE o.account_id = ANY(${ids}) AND o.version < p.version)`;

/** Thrown by work that must not go on with limits of before; see `withPlans`. */
export class PlansOutdated extends Error {
  readonly accountIds: readonly string[];

  constructor(accountIds: readonly string[]) {
    super("organizations do not have the limits of their plan");
    this.accountIds = accountIds;
  }
}

/** Keeps the limits of organizations in line with their plans: some ahead of calls, those that are asked for at once. */
export class PlanLimits {
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(log: ChangeLog, offsetMs: ClockOffset) {
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  /** Brings some of those that are behind up to date; answers how many. Replicas that do so share the work. */
  applySome(): Promise<number> {
    return this.#apply(undefined);
  }

  /** Brings those of these nodes that are behind up to date. */
  async applyTo(nodeIds: readonly string[]): Promise<void> {
    for (let from = 0; from < nodeIds.length; from += MAX_ORGANIZATIONS) {
      await this.#apply(nodeIds.slice(from, from + MAX_ORGANIZATIONS));
    }
  }

  /** Runs work that throws PlansOutdated where it meets limits of before, once more with those of now. */
  async withPlans<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof PlansOutdated)) throw error;
        if (tries === MAX_TRIES) throw unavailable("the plan's limits are being changed", error);
        await this.applyTo(error.accountIds);
      }
    }
  }

  async #apply(among: readonly string[] | undefined): Promise<number> {
    const { value } = await this.#log.commit((tx) =>
      applyPlans(new PostgresPlanTx(tx, this.#offsetMs, among)),
    );
    return value;
  }
}

/** The limits that an organization's plan gives it; none for other nodes. */
export async function planTermsOf(manager: EntityManager, accountId: string): Promise<readonly LimitTerms[]> {
  const [row] = await manager.query<{ limits: LimitTerms[] }[]>(
    "SELECT p.limits FROM organization_plan o JOIN plan p ON p.name = o.plan WHERE o.account_id = $1",
    [accountId],
  );
  return row?.limits ?? [];
}

/** Nobody has a share any more of limits that go. */
export async function forgetShares(manager: EntityManager, limitIds: readonly string[]): Promise<void> {
  await manager.query(
    "UPDATE node_limit SET reserved_share = NULL, reserved_of = NULL WHERE reserved_of = ANY($1)",
    [limitIds],
  );
}

class PostgresPlanTx implements PlanTx {
  readonly #tx: Tx;
  readonly #manager: EntityManager;
  readonly #offsetMs: ClockOffset;
  readonly #among: readonly string[] | undefined;
  #accountIds: readonly string[] = [];

  constructor(tx: Tx, offsetMs: ClockOffset, among: readonly string[] | undefined) {
    this.#tx = tx;
    this.#manager = tx.manager;
    this.#offsetMs = offsetMs;
    this.#among = among;
  }

  nowMs(): Promise<number> {
    return readNowMs(this.#manager, this.#offsetMs);
  }

  async outdated(): Promise<OrganizationPlan[]> {
    const rows = await this.#lockOutdated();
    this.#accountIds = rows.map(({ account_id }) => account_id).sort();
    if (rows.length === 0) return [];
    // As whoever sets a limit on them.
    await this.#tx.gate({ changed: this.#accountIds });
    // In one statement, so that the limits are those of the version that is noted.
    const plans = await this.#manager.query<{ account_id: string; limits: LimitTerms[] }[]>(
      `WITH noted AS (
         UPDATE organization_plan o SET version = p.version FROM plan p
         WHERE p.name = o.plan AND o.account_id = ANY($1) RETURNING o.account_id, p.limits)
       SELECT account_id, limits FROM noted ORDER BY account_id`,
      [this.#accountIds],
    );
    return plans.map(({ account_id, limits }) => ({ accountId: account_id, terms: limits }));
  }

  // By plan, so that the index finds those that are behind among all that are not.
  #lockOutdated(): Promise<{ account_id: string }[]> {
    if (this.#among === undefined) {
      return this.#manager.query(
        `SELECT o.account_id FROM organization_plan o WHERE o.account_id IN (
           SELECT b.account_id FROM plan p CROSS JOIN LATERAL (
             SELECT account_id FROM organization_plan
             WHERE plan = p.name AND version < p.version LIMIT $1) AS b LIMIT $1)
         FOR UPDATE SKIP LOCKED`,
        [MAX_ORGANIZATIONS],
      );
    }
    return this.#manager.query(
      `SELECT account_id FROM organization_plan o
       WHERE account_id = ANY($1) AND version < (SELECT version FROM plan p WHERE p.name = o.plan)
       ORDER BY account_id FOR UPDATE`,
      [this.#among],
    );
  }

  limitsOf(accountIds: readonly string[]): Promise<Limit[]> {
    return limitsOn(this.#manager, accountIds);
  }

  async lockBuckets(limitIds: readonly string[]): Promise<Map<string, RateState>> {
    if (limitIds.length === 0) return new Map();
    await lockQuotas(this.#manager, limitIds, this.#offsetMs);
    return lockRates(this.#manager, limitIds);
  }

  recall(limitIds: readonly string[]): Promise<void> {
    return recallLeases(this.#manager, limitIds);
  }

  async write(
    { added, changed, removed }: PlanChanges,
    rateStates: ReadonlyMap<string, RateState>,
  ): Promise<void> {
    await this.#remove(removed.map(({ id }) => id));
    await this.#add(added);
    await this.#change(changed);
    await writeRates(this.#manager, rateStates);
    const nodeIds = new Set([
      ...added.map(({ accountId }) => accountId),
      ...[...changed.map(({ limit }) => limit), ...removed].map(({ node }) => node.id),
    ]);
    for (const nodeId of nodeIds) this.#tx.changed("limits", nodeId);
  }

  async #remove(limitIds: readonly string[]): Promise<void> {
    if (limitIds.length === 0) return;
    for (const table of ["rate_bucket", "rate_lease"]) {
      await this.#manager.query(`DELETE FROM ${table} WHERE limit_id = ANY($1)`, [limitIds]);
    }
    await forgetShares(this.#manager, limitIds);
    await this.#manager.query("DELETE FROM node_limit WHERE id = ANY($1)", [limitIds]);
  }

  async #add(added: PlanChanges["added"]): Promise<void> {
    if (added.length === 0) return;
    await this.#manager.query(
      `INSERT INTO node_limit (id, node_kind, node_id, meter, resource, kind, interval_ms, window_kind,
         units, burst, time_zone, anchor_ms, enforcement, source)
       SELECT id, 'ACCOUNT', node_id, meter, resource, kind, interval_ms, window_kind,
         units, burst, time_zone, anchor_ms, enforcement, 'PLAN'
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
         $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::text[])
         AS n(id, node_id, meter, resource, kind, interval_ms, window_kind,
           units, burst, time_zone, anchor_ms, enforcement)`,
      columnsOf(
        added.map(({ id, accountId, terms }) => [
          id,
          accountId,
          ...identityOf(terms),
          ...changeableOf(terms),
        ]),
      ),
    );
  }

  async #change(changed: PlanChanges["changed"]): Promise<void> {
    if (changed.length === 0) return;
    await this.#manager.query(
      `UPDATE node_limit AS l SET units = n.units, burst = n.burst, time_zone = n.time_zone,
         anchor_ms = n.anchor_ms, enforcement = n.enforcement, updated_at = now()
       FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])
         AS n(id, units, burst, time_zone, anchor_ms, enforcement)
       WHERE l.id = n.id`,
      columnsOf(changed.map(({ limit, terms }) => [limit.id, ...changeableOf(terms)])),
    );
  }
}

function columnsOf(rows: readonly (readonly unknown[])[]): unknown[][] {
  return rows[0]!.map((_, column) => rows.map((row) => row[column]));
}
