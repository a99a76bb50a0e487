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

/** A channel, and what is said there. */
type Notice = readonly [channel: string, text: string];

/** Tells holders, by name, to close their leases of limits. */
export function recallNotices(recalls: ReadonlyMap<string, Iterable<string>>): Notice[] {
  return [...recalls].flatMap(([holder, ids]) =>
    chunks([...ids]).map((limitIds): Notice => {
      return [RECALL_CHANNEL, JSON.stringify({ holder, limitIds } satisfies RecallNotice)];
    }),
  );
}

/** Tells who waits that units of these limits came back. */
export function freedNotices(limitIds: readonly string[]): Notice[] {
  return chunks(limitIds).map((ids) => [FREED_CHANNEL, JSON.stringify(ids)]);
}

export function notifyRecalls(
  manager: EntityManager,
  recalls: ReadonlyMap<string, Iterable<string>>,
): Promise<void> {
  return notify(manager, recallNotices(recalls));
}

export function notifyFreed(manager: EntityManager, limitIds: readonly string[]): Promise<void> {
  return notify(manager, freedNotices(limitIds));
}

async function notify(manager: EntityManager, notices: readonly Notice[]): Promise<void> {
  if (notices.length === 0) return;
  await manager.query(
    "SELECT pg_notify(channel, notice) FROM unnest($1::text[], $2::text[]) AS n(channel, notice)",
    [notices.map(([channel]) => channel), notices.map(([, text]) => text)],
  );
}

function chunks(ids: readonly string[]): string[][] {
  const count = Math.ceil(ids.length / MAX_LIMITS_PER_NOTICE);
  return Array.from({ length: count }, (_, i) =>
    ids.slice(i * MAX_LIMITS_PER_NOTICE, (i + 1) * MAX_LIMITS_PER_NOTICE),
  );
}
