/*
 * What happens to keys without anybody doing anything: they fall silent, and they expire. Each is told of once.
 *
 *   silent    A key with a heartbeat timeout has a time at which to look whether it has fallen silent: its last beat
 *             and the timeout. Telling clears it, the next beat sets it again.
 *   expiring  Beside a key's expiry stands the expiry of which its owner was told. Another expiry differs from it.
 *
 * Every replica looks; each takes what is due with its rows locked, and passes over what another has taken. What is
 * taken, the mark that it was told and the event commit together.
 */
import { type KeyState, stateOf } from "@gatehouse/access";
import type { Domain } from "../domain.ts";
import { keyData } from "../events/event-of-change.ts";
import type { Change } from "../store.ts";
import type { KeyInTree } from "./key.ts";

/** Takes what is due, marks it as told, and locks it until the commit. */
export interface Watches {
  /** Keys whose beat is overdue, at most `limit`, the longest overdue first, with their last beat. */
  takeSilent(now: Date, limit: number): Promise<{ keyId: string; lastUsedAt: Date }[]>;
  /** Enabled keys that expire before a time, the soonest first. */
  takeExpiring(before: Date, limit: number): Promise<{ keyId: string; expiresAt: Date }[]>;
}

/** Keys of one transaction: some hundred milliseconds. */
const SLICE = 100;
/** Long enough to put another key in its place. */
export const EXPIRING_MS = 7 * 24 * 60 * 60 * 1000;

/** Tells of what is due. A slice that was full is followed by another. Answers how many keys were. */
export async function watchKeys(domain: Domain, signal: AbortSignal): Promise<number> {
  let due = 0;
  for (const tell of [tellSilent, tellExpiring]) {
    for (let told = SLICE; told === SLICE && !signal.aborted; ) {
      const { value } = await domain.store.change((change) => tell(change, domain.nowMs()));
      told = value;
      due += told;
    }
  }
  return due;
}

async function tellSilent(change: Change, nowMs: number): Promise<number> {
  const at = new Date(nowMs);
  const due = await change.watches.takeSilent(at, SLICE);
  for (const { keyId, lastUsedAt } of due) {
    const found = (await change.keys.find(keyId))!;
    const { heartbeatTimeoutMs } = found.key;
    // A key that cannot be used is silent, and nobody wonders.
    if (heartbeatTimeoutMs === undefined || stateOf(found, nowMs) !== "VALID") continue;
    await change.raise({
      type: "key.silent",
      at,
      ...subjectOf(found),
      data: {
        ...keyData(found.key),
        last_used_at: lastUsedAt.toISOString(),
        heartbeat_timeout_ms: heartbeatTimeoutMs,
      },
    });
  }
  return due.length;
}

const OVER: readonly KeyState[] = ["NOT_FOUND", "EXPIRED", "ACCOUNT_CLOSED"];

async function tellExpiring(change: Change, nowMs: number): Promise<number> {
  const at = new Date(nowMs);
  const due = await change.watches.takeExpiring(new Date(nowMs + EXPIRING_MS), SLICE);
  for (const { keyId, expiresAt } of due) {
    const found = (await change.keys.find(keyId))!;
    // Of a key that is stopped for a while the owner still wants to know.
    if (OVER.includes(stateOf(found, nowMs))) continue;
    await change.raise({
      type: "key.expiring",
      at,
      ...subjectOf(found),
      data: { ...keyData(found.key), expires_at: expiresAt.toISOString() },
    });
  }
  return due.length;
}

function subjectOf({ key, chain }: KeyInTree) {
  return { accountPath: chain[0].path, subject: key.id };
}
