import type { AccountNode } from "@gatehouse/access";
import type { EntityManager } from "typeorm";
import type { LimitTerms } from "../domain/limit.ts";

/**
 * Writes plans down. However many organizations have one that changes, its row alone is written: they are behind its
 * version from then on, and are brought up to date by and by, or when somebody asks for their limits.
 */
export async function putPlans(
  manager: EntityManager,
  plans: ReadonlyMap<string, readonly LimitTerms[] | undefined>,
): Promise<void> {
  if (plans.size === 0) return;
  const gone = [...plans].flatMap(([name, limits]) => (limits === undefined ? name : []));
  const there = [...plans].flatMap(([name, limits]) => (limits === undefined ? [] : [{ name, limits }]));
  await manager.query("DELETE FROM plan WHERE name = ANY($1)", [gone]);
  await manager.query(
    `INSERT INTO plan (name, limits)
     SELECT name, limits FROM jsonb_to_recordset($1::jsonb) AS p(name text, limits jsonb)
     ON CONFLICT (name) DO UPDATE SET limits = excluded.limits, version = nextval('plan_version')
     WHERE plan.limits <> excluded.limits`,
    [JSON.stringify(there)],
  );
}

/** Notes which plan organizations have; after `putPlans`. Of a plan without limits a new one lacks nothing. */
export async function putOrganizationPlans(
  manager: EntityManager,
  accounts: readonly AccountNode[],
): Promise<void> {
  const organizations = accounts.filter(
    ({ id, organizationId, plan }) => id === organizationId && plan !== "",
  );
  if (organizations.length === 0) return;
  await manager.query(
    `INSERT INTO organization_plan (account_id, plan, version)
     SELECT account_id, n.plan, coalesce(p.version, 0)
     FROM unnest($1::text[], $2::text[]) AS n(account_id, plan)
     LEFT JOIN plan p ON p.name = n.plan AND p.limits = '[]'
     ON CONFLICT (account_id) DO UPDATE SET plan = excluded.plan, version = 0
     WHERE organization_plan.plan <> excluded.plan`,
    [organizations.map(({ id }) => id), organizations.map(({ plan }) => plan)],
  );
}
