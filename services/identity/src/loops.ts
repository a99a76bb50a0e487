import { reseal, type SealedPlace } from "@gatehouse/keys";
import { type Disposables, type Log, type Loop, runLoop } from "@gatehouse/service";
import type { Domain } from "./domain/domain.ts";
import type { ActivityStore, SeenKeys } from "./domain/keys/activity.ts";
import type { NonceStore } from "./domain/keys/nonces.ts";
import { watchKeys } from "./domain/keys/watch-keys.ts";
import type { IdentityCounts } from "./metrics.ts";

/** What a key's owner sees of its use is this old at most, here and there. */
const FLUSH_EVERY_MS = 1000;
/** Silence is told of this much late at most. */
const WATCH_EVERY_MS = 1000;
const SWEEP_EVERY_MS = 10_000;
/**
 * A replica that still has the old encryption key first may seal with it for as long as a rolling restart takes. The
 * walk is over indexes of what is sealed, and finds nothing nearly always.
 */
const RESEAL_EVERY_MS = 5 * 60_000;
const BACKOFF = { minMs: 1000, maxMs: 30_000 };

/** What the loops work with. */
export interface LoopParts {
  readonly domain: Domain;
  readonly seen: SeenKeys;
  readonly activity: ActivityStore;
  readonly nonces: NonceStore;
  readonly sealedPlaces: readonly SealedPlace[];
  readonly counts: IdentityCounts;
}

/** Starts what happens by itself. It ends, the last uses written, when `opened` is closed. */
export function startLoops(parts: LoopParts, opened: Disposables, log: Log): void {
  const { domain, seen, activity, nonces, sealedPlaces, counts } = parts;
  const start = (name: string, everyMs: number, run: (signal: AbortSignal) => void | Promise<void>) => {
    const loop: Loop = runLoop({ name, everyMs, backoff: BACKOFF, run, log });
    opened.add(name, () => loop.stop());
  };
  opened.add("write the last uses", () => seen.flush(activity).catch(() => {}));
  start("write when keys were used", FLUSH_EVERY_MS, () => seen.flush(activity));
  start("watch keys", WATCH_EVERY_MS, async (signal) => {
    counts.watched += await watchKeys(domain, signal);
  });
  start("forget nonces", SWEEP_EVERY_MS, (signal) => nonces.sweep(domain.nowMs(), signal));
  start("seal with the current key", RESEAL_EVERY_MS, async (signal) => {
    const { rows, lost } = await reseal(domain.sealer, sealedPlaces, signal);
    if (lost.length > 0) log.warn({ lost }, "sealed with an encryption key that is not configured");
    counts.resealed += rows;
    if (rows > 0) log.info({ rows }, "sealed with the current encryption key");
  });
}
