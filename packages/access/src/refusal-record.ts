import { RefusalBudget } from "./refusal-budget.ts";

/**
 * Puts refused attempts on record, as many of one key as it may have there in a minute. Where that fails they stand as
 * refusals all the same, and are counted.
 */
export class RefusalRecord {
  readonly #budget = new RefusalBudget();
  readonly #onLost: (error: unknown) => void;
  #lost = 0;

  constructor(onLost: (error: unknown) => void) {
    this.#onLost = onLost;
  }

  /** How many could not be written since the start. */
  get lost(): number {
    return this.#lost;
  }

  /** Never rejects. */
  async put(keyId: string, nowMs: number, write: () => Promise<void>): Promise<void> {
    if (!this.#budget.take(keyId, nowMs)) return;
    try {
      await write();
    } catch (error) {
      this.#lost++;
      this.#onLost(error);
    }
  }
}
