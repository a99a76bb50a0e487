import type { AuditEvent } from "../src/domain/events/audit.ts";
import type { Change, Store } from "../src/domain/store.ts";
import { type System, startSystem } from "./system.ts";

/** A test that gets here has found two changes that neither finish nor wait: a bug of the test. */
const OVERLAP_DEADLINE_MS = 20_000;
const LOOK_EVERY_MS = 2;
/** A crowd meets by chance: one that never did in so many rounds was kept apart by something. */
const CROWDS = 5;

export interface Overlap<A, B> {
  readonly first: PromiseSettledResult<A>;
  readonly second: PromiseSettledResult<B>;
}

/** An identity whose changes are made to overlap, and whose gates can be taken away for the negative controls. */
export interface Stage {
  readonly system: System;
  /** Runs `work` with gates that keep nobody out. */
  withoutGates<T>(work: () => Promise<T>): Promise<T>;
  /** The same with a crowd, in rounds until one went wrong; answers the last. */
  crowdWithoutGates<T>(crowd: () => Promise<T>, wentWrong: (seen: T) => boolean): Promise<T>;
  /**
   * Runs `second` while `first`, which does `action`, has written and not committed; `first` commits once `second`
   * is done, or waits for it.
   */
  overlap<A, B>(action: string, first: () => Promise<A>, second: () => Promise<B>): Promise<Overlap<A, B>>;
  /** Makes `calls` at once: all the others overlap the first, which does `action`. */
  atOnce<T>(
    action: string,
    calls: readonly (() => Promise<T>)[],
  ): Promise<readonly PromiseSettledResult<T>[]>;
}

export async function openStage(overrides: Parameters<typeof startSystem>[0] = {}): Promise<Stage> {
  let gated = true;
  let held: { action: string; reached: () => void; letGo: Promise<void> } | undefined;

  async function hold(event: AuditEvent): Promise<void> {
    if (held === undefined || event.action !== held.action) return;
    const { reached, letGo } = held;
    // Only the first of them: a second may be of the same action.
    held = undefined;
    reached();
    await letGo;
  }
  function staged(change: Change): Change {
    return {
      ...change,
      gate: async (gates) => {
        if (gated) await change.gate(gates);
      },
      audit: async (event) => {
        await change.audit(event);
        await hold(event);
      },
    };
  }
  const wrapStore = (store: Store): Store => ({
    ...store,
    recordRefusal: (event) => store.recordRefusal(event),
    change: (work) => store.change((change) => work(staged(change))),
  });
  const system = await startSystem({ ...overrides, wrapStore });

  async function withoutGates<T>(work: () => Promise<T>): Promise<T> {
    gated = false;
    try {
      return await work();
    } finally {
      gated = true;
    }
  }

  async function overlap<A, B>(action: string, first: () => Promise<A>, second: () => Promise<B>) {
    const [reached, letGo] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    held = { action, reached: reached.resolve, letGo: letGo.promise };
    const running = first();
    // Where it fails before it has written anything, that is what the test is to see.
    await Promise.race([reached.promise, running]);
    const overlapping = second();
    await doneOrWaiting(system, overlapping);
    letGo.resolve();
    const [one, two] = await Promise.allSettled([running, overlapping]);
    return { first: one, second: two };
  }

  return {
    system,
    withoutGates,
    async crowdWithoutGates(crowd, wentWrong) {
      let seen = await withoutGates(crowd);
      for (let round = 2; round <= CROWDS && !wentWrong(seen); round++) seen = await withoutGates(crowd);
      return seen;
    },
    overlap,
    async atOnce(action, [first, ...others]) {
      const { first: one, second: rest } = await overlap(action, first!, () =>
        Promise.allSettled(others.map((call) => call())),
      );
      return [one, ...(rest.status === "fulfilled" ? rest.value : [])];
    },
  };
}

/** Some transaction of the database waits for another, or the call is over. */
export async function doneOrWaiting({ sql }: Pick<System, "sql">, call: Promise<unknown>): Promise<void> {
  let done = false;
  const over = call.then(
    () => (done = true),
    () => (done = true),
  );
  const giveUpMs = performance.now() + OVERLAP_DEADLINE_MS;
  while (!done) {
    const { rows } = await sql.query("SELECT FROM pg_locks WHERE NOT granted");
    if (rows.length > 0) return;
    if (performance.now() > giveUpMs) throw new Error("neither done nor waiting");
    await Promise.race([over, new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))]);
  }
}

/** `OK`, or the reason that a call failed with. */
export function outcomeOf(result: PromiseSettledResult<unknown>): string {
  return result.status === "fulfilled" ? "OK" : (result.reason as { reason: string }).reason;
}
