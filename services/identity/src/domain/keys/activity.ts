import { isId } from "@gatehouse/keys";
import { Fields } from "../fields.ts";

/** When a key was last used. */
export interface KeyUse {
  readonly keyId: string;
  readonly lastUsedMs: number;
}

/** When keys were used: a fact that is no change, and so on no log. */
export interface ActivityStore {
  /** Keeps the latest use of each key; keys that are not there are passed over. Each key is named once. */
  record(uses: readonly KeyUse[]): Promise<void>;
}

/** Keys of one batch: as many as one statement should touch. */
export const MAX_USES = 1000;

/**
 * Takes what a service saw of keys' use. A clock ahead of ours counts as ours: a use from the future would hide
 * that the key falls silent. Throws Failure INVALID_ARGUMENT.
 */
export async function recordActivity(
  activity: ActivityStore,
  uses: readonly { keyId: string; lastUsedMs: number | undefined }[],
  nowMs: number,
): Promise<void> {
  const fields = new Fields();
  if (uses.length < 1 || uses.length > MAX_USES) fields.wrong("activities", `must have 1 to ${MAX_USES}`);
  const latest = new Map<string, number>();
  for (const [index, { keyId, lastUsedMs }] of uses.slice(0, MAX_USES).entries()) {
    const field = `activities[${index}]`;
    if (!isId("key", keyId)) fields.wrong(`${field}.key_id`, "must be the id of a key");
    if (lastUsedMs === undefined) fields.wrong(`${field}.last_used_at`, "is required");
    fields.time(`${field}.last_used_at`, lastUsedMs);
    latest.set(keyId, Math.max(latest.get(keyId) ?? 0, Math.min(lastUsedMs ?? 0, nowMs)));
  }
  fields.check();
  await activity.record(usesOf(latest));
}

/** Keys seen between two flushes, at most; a few megabytes. Uses of others wait for the next call of theirs. */
const MAX_SEEN = 50_000;

/** The uses that this process sees itself, gathered so that a busy key is written once a flush. */
export class SeenKeys {
  #latest = new Map<string, number>();

  saw(keyId: string, atMs: number): void {
    if (this.#latest.size >= MAX_SEEN && !this.#latest.has(keyId)) return;
    this.#latest.set(keyId, Math.max(this.#latest.get(keyId) ?? 0, atMs));
  }

  /** Writes what was seen. What cannot be written is kept for the next flush. */
  async flush(activity: ActivityStore): Promise<void> {
    const uses = usesOf(this.#latest);
    this.#latest = new Map();
    for (let at = 0; at < uses.length; at += MAX_USES) {
      try {
        await activity.record(uses.slice(at, at + MAX_USES));
      } catch (error) {
        for (const { keyId, lastUsedMs } of uses.slice(at)) this.saw(keyId, lastUsedMs);
        throw error;
      }
    }
  }
}

function usesOf(latest: ReadonlyMap<string, number>): KeyUse[] {
  return [...latest].map(([keyId, lastUsedMs]) => ({ keyId, lastUsedMs }));
}
