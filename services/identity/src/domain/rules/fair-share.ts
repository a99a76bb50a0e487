import { overloaded } from "@gatehouse/service/failure";

/**
 * Changes of one organization under way at once. A crowd of one stands in line for the same connections as everybody
 * else's revocations: with so many it takes a fifth of a second to get past, with all that the store takes it was seen
 * to take two.
 */
export const MAX_OF_ONE = 50;

/** Keeps one organization from taking all of what there is for everybody. */
export class FairShare {
  readonly #underWay = new Map<string, number>();
  readonly #most: number;

  constructor(most: number = MAX_OF_ONE) {
    this.#most = most;
  }

  /** Runs the work of whoever it is for. Throws Failure OVERLOADED where as much of theirs is under way as may be. */
  async run<T>(whose: string, work: () => Promise<T>): Promise<T> {
    const others = this.#underWay.get(whose) ?? 0;
    if (others >= this.#most) throw overloaded(`${this.#most} changes of the organization are under way`);
    this.#underWay.set(whose, others + 1);
    try {
      return await work();
    } finally {
      const left = this.#underWay.get(whose)! - 1;
      if (left === 0) this.#underWay.delete(whose);
      else this.#underWay.set(whose, left);
    }
  }

  /** For whom anything is under way. */
  get size(): number {
    return this.#underWay.size;
  }
}
