import type { Moment, Position } from "@gatehouse/changefeed";

/** What the gate reads of a follower. */
export interface Proven {
  /** `now` is a moment just read, where the caller has one. */
  ageMs(now?: Moment): number;
  prove(): Promise<void>;
  readonly position: Position | undefined;
  readonly provenProof: number;
  /** Is the source out of reach, as far as can be told now? */
  readonly isOutOfReach: boolean;
}

/** Has it come as far as a token says, and in the same history? */
export function hasReached({ position }: Proven, token: Position): boolean {
  return position?.incarnation === token.incarnation && position.revision >= token.revision;
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

  constructor(follower: Proven, bounds: FreshnessBounds) {
    this.#follower = follower;
    this.#bounds = bounds;
  }

  check(ageMs: number): Freshness {
    if (ageMs <= this.#bounds.boundMs) return "fresh";
    // Where the loop has found out that the source is gone, nobody waits for it again; the loop goes on trying.
    if (!this.unreachable) return "prove";
    return ageMs <= this.#bounds.stalenessMaxMs ? "stale" : "too-old";
  }

  /** Is the source known to be out of reach? */
  get unreachable(): boolean {
    return this.#follower.isOutOfReach;
  }

  /** A proof begun after now. False: the source cannot be reached. */
  async prove(): Promise<boolean> {
    for (let proof = 1; proof <= MAX_PROOFS; proof++) {
      try {
        await this.#follower.prove();
        return true;
      } catch {
        if (this.unreachable) return false;
      }
    }
    return false;
  }
}

/** One that fails may be an accident of this side; as many as these tell. */
const MAX_PROOFS = 3;
