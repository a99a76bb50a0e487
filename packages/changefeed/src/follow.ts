import { type Bus, type Log, runLoop } from "@gatehouse/service";
import { bellSubject, decodeBell } from "./bell.ts";
import type { Follower } from "./follower.ts";
import type { FeedName } from "./position.ts";

/** How often the head is asked for: four times within the second that P1 promises. */
const POLL_MS = 250;
/**
 * A source that is back is found in time for what it then revokes; and from the sending of one request that times out
 * (400 ms) to the end of the next no more than the second passes in which the first still says that it is away.
 */
const BACKOFF = { minMs: 50, maxMs: 150 };

export interface FollowOptions {
  readonly follower: Follower<{ readonly revision: number | bigint }>;
  readonly source: FeedName;
  readonly bus: Bus;
  readonly log: Log;
  /** Told what a bell names, before the pull that the bell hastens. */
  readonly onBell?: (entityIds: readonly string[]) => void;
}

/** Keeps a follower following, for ever: polls, and pulls at once when the bell rings. */
export function follow({ follower, source, bus, log, onBell }: FollowOptions): { stop(): Promise<void> } {
  const loop = runLoop({
    name: `follow ${source}`,
    everyMs: POLL_MS,
    backoff: BACKOFF,
    run: () => follower.prove(),
    log,
  });
  const bell = bus.subscribe(bellSubject(source), (payload) => {
    // Wakes the loop, which pulls after this; and is not forgotten where what is told throws.
    loop.poke();
    follower.bells++;
    onBell?.(decodeBell(payload).entityIds);
  });
  return {
    stop() {
      bell.unsubscribe();
      return loop.stop();
    },
  };
}
