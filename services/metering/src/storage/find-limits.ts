import type { EntityManager } from "typeorm";
import type { Limit, LimitTerms } from "../domain/limit.ts";
import { identityOf, type LimitRow, limitColumns, limitOf } from "./limit-row.ts";

export async function findLimit(manager: EntityManager, limitId: string): Promise<Limit | undefined> {
  const rows = await manager.query<LimitRow[]>(`SELECT ${limitColumns} FROM node_limit l WHERE l.id = $1`, [
    limitId,
  ]);
  return rows.map(limitOf)[0];
}

/** The limits on these nodes, oldest first. */
export async function limitsOn(manager: EntityManager, nodeIds: readonly string[]): Promise<Limit[]> {
  const rows = await manager.query<LimitRow[]>(
    `SELECT ${limitColumns} FROM node_limit l WHERE l.node_id = ANY($1) ORDER BY l.id`,
    [nodeIds],
  );
  return rows.map(limitOf);
}

/** The limits with the identity that these nodes have. */
export async function sameLimits(
  manager: EntityManager,
  nodeIds: readonly string[],
  terms: LimitTerms,
): Promise<Limit[]> {
  const rows = await manager.query<LimitRow[]>(
    `SELECT ${limitColumns} FROM node_limit l
     WHERE l.node_id = ANY($1) AND l.meter = $2 AND l.resource = $3 AND l.kind = $4
       AND l.interval_ms IS NOT DISTINCT FROM $5 AND l.window_kind IS NOT DISTINCT FROM $6`,
    [nodeIds, ...identityOf(terms)],
  );
  return rows.map(limitOf);
}
