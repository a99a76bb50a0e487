import { abandoned } from "@gatehouse/service/failure";
import { type Refusal, undecidableFor } from "./refusal.ts";
import type { VerifyCall } from "./verify-call.ts";
import type { Wait } from "./wait.ts";

/** Who sent a call. */
export interface Caller {
  /** Whether nobody waits for the answer any more. */
  readonly isAbandoned?: boolean;
}

/**
 * How many calls wait at once for units, and as many for all else: a call of a batch counts as one. Each was seen
 * to hold 3 kB, so 60 MB in all. Metering and identity answer within milliseconds or are out of reach; a queue longer than this
 * is one that nobody at its end would live to see.
 */
const WAITING_MAX = 10_000;
const tooMany: Refusal = { ...undecidableFor("overload"), retryAfterMs: 1000 };

/**
 * The calls that wait for something that is not here. Beyond a bound they are told so at once. The two kinds have bounds
 * of their own, so that a service that hangs fills one waiting room only. Warm calls wait for nothing and never come
 * here.
 */
export class Waiters {
  readonly #max: number;
  readonly #waiting = { units: 0, state: 0 };

  constructor(max = WAITING_MAX) {
    this.#max = max;
  }

  get count(): number {
    return this.#waiting.units + this.#waiting.state;
  }

  /**
   * What the wait found out. Throws Failure CANCELLED where nobody waits for the answer any more: such a call is not
   * decided, and not charged.
   */
  async hold(wait: Wait, call: VerifyCall, caller: Caller | undefined): Promise<Refusal | undefined> {
    if (caller?.isAbandoned) throw abandoned();
    const kind = wait.isForUnits ? "units" : "state";
    if (this.#waiting[kind] >= this.#max) return tooMany;
    this.#waiting[kind]++;
    try {
      const refusal = await wait(call.trace);
      if (caller?.isAbandoned) throw abandoned();
      return refusal;
    } finally {
      this.#waiting[kind]--;
    }
  }
}
