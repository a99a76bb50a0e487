import type { EntityManager } from "typeorm";

/** Postgres channels between the replicas of metering; a notice leaves with the commit of its transaction. */
export const RECALL_CHANNEL = "gatehouse_metering_recall";
export const FREED_CHANNEL = "gatehouse_metering_freed";

/** Postgres takes 8000 bytes; 120 parts of limits, of 52 characters, with a holder's name of 120 stay below. */
const MAX_LIMITS_PER_NOTICE = 120;

/** A recall as it travels. */
export interface RecallNotice {
  readonly holder: string;
  readonly limitIds: readonly string[];
}

/** Tells holders, by name, to close their leases of limits. */
export async function notifyRecalls(
  manager: EntityManager,
  recalls: ReadonlyMap<string, Iterable<string>>,
): Promise<void> {
  const notices = [...recalls].flatMap(([holder, ids]) =>
    chunks([...ids]).map((limitIds) => JSON.stringify({ holder, limitIds } satisfies RecallNotice)),
  );
  await notify(manager, RECALL_CHANNEL, notices);
}

/** Tells who waits that units of these limits came back. */
export async function notifyFreed(manager: EntityManager, limitIds: readonly string[]): Promise<void> {
  await notify(
    manager,
    FREED_CHANNEL,
    chunks(limitIds).map((ids) => JSON.stringify(ids)),
  );
}

async function notify(manager: EntityManager, channel: string, notices: readonly string[]): Promise<void> {
  if (notices.length === 0) return;
  await manager.query("SELECT pg_notify($1, notice) FROM unnest($2::text[]) AS n(notice)", [
    channel,
    notices,
  ]);
}

function chunks(ids: readonly string[]): string[][] {
  const count = Math.ceil(ids.length / MAX_LIMITS_PER_NOTICE);
  return Array.from({ length: count }, (_, i) =>
    ids.slice(i * MAX_LIMITS_PER_NOTICE, (i + 1) * MAX_LIMITS_PER_NOTICE),
  );
}
