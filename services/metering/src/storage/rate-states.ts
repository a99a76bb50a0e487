import type { RateState } from "@gatehouse/buckets";
import type { EntityManager } from "typeorm";
import { putRateStates, type RateRow, rateColumns, rateStateOf } from "./rate-row.ts";

/** The states of rates by limit, locked; those that were lost are missing. */
export async function lockRates(
  manager: EntityManager,
  limitIds: readonly string[],
): Promise<Map<string, RateState>> {
  const rows = await manager.query<RateRow[]>(
    `SELECT ${rateColumns} FROM rate_bucket WHERE limit_id = ANY($1) ORDER BY limit_id FOR UPDATE`,
    [limitIds],
  );
  return new Map(rows.map((row) => [row.limit_id, rateStateOf(row)]));
}

export function writeRates(manager: EntityManager, states: ReadonlyMap<string, RateState>): Promise<void> {
  return putRateStates(
    manager,
    [...states].map(([limitId, state]) => ({ limitId, state })),
  );
}
