import type { Position } from "@gatehouse/changefeed";

/** What the gate reads of a follower. */
export interface Proven {
  ageMs(): number;
  prove(): Promise<void>;
  readonly position: Position | undefined;
  readonly provenProof: number;
}

export interface FreshnessBounds {
  /** State older than this is proven anew before it answers. */
  readonly boundMs: number;
  /** While the source cannot be reached, state up to this age still answers, saying how old it is. */
  readonly stalenessMaxMs: number;
}

export type Freshness = "fresh" | "prove" | "stale" | "too-old";

/**
 * Decides, inside every Verify and from the clock, whether what is cached may answer. A process that was
 * paused notices here, before it says anything that it knew before the pause.
 */
export class FreshnessGate {
  readonly #follower: Proven;
  readonly #bounds: FreshnessBounds;
  /** The latest proof that a call waited for failed, and none has succeeded since. */
  #unreachableSinceProof: number | undefined;

  constructor(follower: Proven, bounds: FreshnessBounds) {
    this.#follower = follower;
    this.#bounds = bounds;
  }

  check(ageMs: number): Freshness {
    if (ageMs <= this.#bounds.boundMs) return "fresh";
    // One call finds out that the source is gone; the others do not wait for it again, the loop goes on trying.
    if (this.#unreachableSinceProof !== this.#follower.provenProof) return "prove";
    return ageMs <= this.#bounds.stalenessMaxMs ? "stale" : "too-old";
  }

  /** Is the source known to be out of reach? */
  get unreachable(): boolean {
    return this.#unreachableSinceProof === this.#follower.provenProof;
  }

  /** A proof begun after now. False: the source cannot be reached. */
  async prove(): Promise<boolean> {
    try {
      await this.#follower.prove();
      return true;
    } catch {
      this.#unreachableSinceProof = this.#follower.provenProof;
      return false;
    }
  }
}
