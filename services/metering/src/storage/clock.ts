import type { EntityManager } from "typeorm";

/**
 * The time that leases and windows go by is the database's: replicas of metering whose clocks differ would
 * otherwise forfeit each other's leases early. The offset is 0 but in tests, which move time with it.
 */
export type ClockOffset = () => number;

export const nowMsExpression = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/** The time that everything in the transaction goes by, read anew at each call. */
export async function readNowMs(manager: EntityManager, offsetMs: ClockOffset): Promise<number> {
  const [row] = await manager.query<[{ now_ms: string }]>(`SELECT ${nowMsExpression} AS now_ms`);
  return Number(row.now_ms) + offsetMs();
}

/** Milliseconds as a timestamp that Postgres reads. */
export function instant(ms: number): string {
  return new Date(ms).toISOString();
}
