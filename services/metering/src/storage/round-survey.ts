import type { EntityManager } from "typeorm";
import type { QuotaBucketRow, RoundNames, Survey } from "../domain/lease.ts";
import { REQUESTS } from "../domain/limit.ts";
import { nowMsExpression } from "./clock.ts";
import { outdatedAmong, PlansOutdated } from "./plan-limits.ts";
import { type Prepared, runPrepared } from "./prepared.ts";
import { latestStart } from "./quota-windows.ts";
import { endedAmong, limitsOf, rowsOf, type TermsRow, termsOf } from "./round-rows.ts";
import { moneyOf } from "./wallet-leases.ts";

// One statement and so one snapshot: the limits are those of the head.
const text = `
  WITH clock AS MATERIALIZED (
      SELECT now_ms, to_timestamp(now_ms / 1000.0) AS at FROM (SELECT ${nowMsExpression} + $5::bigint AS now_ms) AS c),
    reported AS MATERIALIZED (SELECT DISTINCT limit_id FROM rate_lease WHERE id = ANY($4::text[]))
  SELECT now_ms, incarnation, revision,
    ARRAY(SELECT id FROM unnest($1::text[]) AS n(id)
          WHERE NOT EXISTS (SELECT FROM account a WHERE a.id = n.id)
            AND NOT EXISTS (SELECT FROM key k WHERE k.id = n.id)) AS unknown_nodes,
    ARRAY(SELECT name FROM unnest($2::text[]) AS n(name)
          WHERE name <> '${REQUESTS}' AND NOT EXISTS (SELECT FROM meter m WHERE m.name = n.name)) AS unknown_meters,
    ${outdatedAmong("$1")} AS outdated, ${endedAmong("$3")} AS ended_holders,
    ${limitsOf("$1", "ARRAY(SELECT limit_id FROM reported)")} AS limits, ${moneyOf("$1")} AS money,
    ${rowsOf(`
      SELECT b.id::text, b.limit_id AS "limitId", b.share_node AS "shareNode"
      FROM node_limit l CROSS JOIN LATERAL ${latestStart("l.id", "at")} AS latest
      JOIN quota_bucket b ON b.limit_id = l.id AND b.window_start = latest.start
      WHERE l.node_id = ANY($1) AND (b.window_end IS NULL OR b.window_end > at)`)} AS quotas,
    ARRAY(SELECT r.limit_id FROM node_limit l JOIN rate_bucket r ON r.limit_id = l.id
          WHERE l.node_id = ANY($1)) AS rates,
    ARRAY(SELECT limit_id FROM reported) AS reported
  FROM feed_head CROSS JOIN clock`;
const survey: Prepared = { name: "survey a round", text };

interface SurveyRow extends TermsRow {
  readonly now_ms: string;
  readonly unknown_nodes: readonly string[];
  readonly unknown_meters: readonly string[];
  readonly outdated: readonly string[];
  readonly ended_holders: readonly string[];
  readonly quotas: readonly Pick<QuotaBucketRow, "id" | "limitId" | "shareNode">[];
  readonly rates: readonly string[];
  readonly reported: readonly string[];
}

/** Throws PlansOutdated. */
export async function surveyRound(
  manager: EntityManager,
  { nodeIds, meters, holders, leaseIds }: RoundNames,
  offsetMs: number,
): Promise<Survey> {
  const values = [nodeIds, meters, holders, leaseIds, offsetMs];
  const rows = await runPrepared<SurveyRow>(manager, survey, values);
  const row = rows[0]!;
  if (row.outdated.length > 0) throw new PlansOutdated(row.outdated);
  return {
    nowMs: Number(row.now_ms),
    terms: termsOf(row),
    endedHolders: new Set(row.ended_holders),
    unknownNodes: new Set(row.unknown_nodes),
    unknownMeters: new Set(row.unknown_meters),
    quotas: Map.groupBy(row.quotas, ({ limitId }) => limitId),
    rates: new Set(row.rates),
    reported: row.reported,
  };
}
