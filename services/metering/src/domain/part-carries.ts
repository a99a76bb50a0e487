import { costOf, type Price } from "@gatehouse/buckets";

/**
 * What uses left of a micro, by who pays and by which price, so that many small ones cost what they cost together. It is
 * this replica's own: what it knows when it ends, less than a micro each, is given away.
 *
 * Work takes what it needs out, and puts what is left in again once it stands; so two at a time do not use one part twice.
 */
export class PartCarries {
  readonly #parts = new Map<string, number>();
  readonly #capacity: number;

  constructor(capacity = CAPACITY) {
    this.#capacity = capacity;
  }

  /** `work` may begin more than once; what it reckoned last is what stands, unless it throws. */
  async during<T>(work: (begin: () => Reckoning) => Promise<T>): Promise<T> {
    const taken = new Map<string, number>();
    let left = new Map<string, number>();
    const begin = (): Reckoning => {
      left = new Map(taken);
      return {
        costOf: (payerId, price, units) => {
          const name = `${payerId} ${price.id}`;
          if (!taken.has(name)) taken.set(name, this.#take(name));
          const { micros, carryParts } = costOf(units, price, left.get(name) ?? taken.get(name)!);
          left.set(name, carryParts);
          return micros;
        },
      };
    };
    try {
      const done = await work(begin);
      this.#giveBack(new Map([...taken, ...left]));
      return done;
    } catch (error) {
      this.#giveBack(taken);
      throw error;
    }
  }

  #take(name: string): number {
    const parts = this.#parts.get(name) ?? 0;
    this.#parts.delete(name);
    return parts;
  }

  #giveBack(carried: ReadonlyMap<string, number>): void {
    for (const [name, parts] of carried) {
      if (parts === 0) continue;
      this.#parts.set(name, (this.#parts.get(name) ?? 0) + parts);
      const [oldest] = this.#parts.keys();
      if (this.#parts.size > this.#capacity) this.#parts.delete(oldest!);
    }
  }
}

/** Says what units cost, in whole micros, one use after the other. */
export interface Reckoning {
  costOf(payerId: string, price: Price, units: number): number;
}

/** Some 20 MB; what is forgotten beyond it is less than a micro each. */
const CAPACITY = 100_000;
