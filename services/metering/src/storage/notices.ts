import { sleep } from "@gatehouse/service";
import pg from "pg";
import { FREED_CHANNEL, RECALL_CHANNEL, type RecallNotice } from "./notice.ts";

export interface NoticeHandlers {
  recall(notice: RecallNotice): void;
  freed(limitIds: readonly string[]): void;
}

const CONNECT_TIMEOUT_MS = 5000;
/** A connection that died without a word is noticed by a statement that does not come back in this time. */
const PING_EVERY_MS = 5000;
const PING_TIMEOUT_MS = 2000;

/**
 * Listens on a connection of its own until that is lost or `signal` aborts; whoever loops over it never gives
 * up. What is said while nobody listens is lost: a recall is asked for again with the next ask, and who waits
 * for units looks once more before it gives up.
 */
export async function listenForNotices(
  url: string,
  handlers: NoticeHandlers,
  signal: AbortSignal,
): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: PING_TIMEOUT_MS,
    keepAlive: true,
  });
  const lost = new Promise<void>((_, reject) => {
    client.on("error", reject);
    client.on("end", () => reject(new Error("the connection for notices ended")));
  });
  lost.catch(() => {});
  client.on("notification", ({ channel, payload }) => dispatch(channel, payload ?? "", handlers));
  try {
    await client.connect();
    await client.query(`LISTEN ${RECALL_CHANNEL}; LISTEN ${FREED_CHANNEL}`);
    while (!signal.aborted) {
      await Promise.race([sleep(PING_EVERY_MS, signal), lost]);
      if (!signal.aborted) await client.query("SELECT 1");
    }
  } finally {
    await client.end().catch(() => {});
  }
}

// Anybody with the database's password can write here: what does not parse is not believed.
function dispatch(channel: string, payload: string, handlers: NoticeHandlers): void {
  const notice = parse(payload);
  if (channel === FREED_CHANNEL && isIds(notice)) handlers.freed(notice);
  if (channel !== RECALL_CHANNEL || typeof notice !== "object" || notice === null) return;
  const { holder, limitIds } = notice as Partial<RecallNotice>;
  if (typeof holder === "string" && isIds(limitIds)) handlers.recall({ holder, limitIds });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isIds(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((id) => typeof id === "string");
}
