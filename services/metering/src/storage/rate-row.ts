import type { IdleSpan, RateState } from "@gatehouse/buckets";
import type { EntityManager } from "typeorm";

/** A row of rate_bucket, as `rateColumns` reads it. */
export interface RateRow {
  readonly limit_id: string;
  readonly available: string;
  readonly carry_parts: string;
  readonly leased: string;
  readonly accounted_at_ms: string;
  readonly idle: readonly IdleSpan[];
}

export const rateColumns = "limit_id, available, carry_parts, leased, accounted_at_ms, idle";

export function rateStateOf(row: RateRow): RateState {
  return {
    available: Number(row.available),
    carryParts: Number(row.carry_parts),
    leased: Number(row.leased),
    accountedAtMs: Number(row.accounted_at_ms),
    idle: row.idle,
  };
}

/**
 * Inserts states, or replaces those that are there unless `keep` is set: in the order that they are locked in, so that
 * two who restore the same wait for each other once.
 */
export async function putRateStates(
  manager: EntityManager,
  unordered: readonly { readonly limitId: string; readonly state: RateState }[],
  { keep = false } = {},
): Promise<void> {
  if (unordered.length === 0) return;
  const buckets = unordered.toSorted((a, b) => (a.limitId < b.limitId ? -1 : 1));
  const states = buckets.map(({ state }) => state);
  const onConflict = keep
    ? "DO NOTHING"
    : `DO UPDATE SET available = excluded.available, carry_parts = excluded.carry_parts,
         leased = excluded.leased, accounted_at_ms = excluded.accounted_at_ms, idle = excluded.idle`;
  await manager.query(
    `INSERT INTO rate_bucket (${rateColumns})
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::jsonb[])
     ON CONFLICT (limit_id) ${onConflict}`,
    [
      buckets.map(({ limitId }) => limitId),
      states.map(({ available }) => available),
      states.map(({ carryParts }) => carryParts),
      states.map(({ leased }) => leased),
      states.map(({ accountedAtMs }) => accountedAtMs),
      states.map(({ idle }) => JSON.stringify(idle)),
    ],
  );
}
