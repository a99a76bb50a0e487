import { SealError, type Sealer } from "@gatehouse/keys";

/** Opens what identity sealed. What is opened stays in memory, and goes nowhere but where it is meant for. */
export class SealedValues {
  readonly #sealer: Sealer | undefined;
  readonly #onSealed: (id: string, why: string) => void;

  /** Without a sealer nothing opens. `onSealed` is told of what does not: whose it is, never what. */
  constructor(sealer: Sealer | undefined, onSealed: (id: string, why: string) => void) {
    this.#sealer = sealer;
    this.#onSealed = onSealed;
  }

  /** The text that was sealed for `id`; undefined where it cannot be opened here. */
  open(sealed: string, id: string): string | undefined {
    if (this.#sealer === undefined) {
      this.#onSealed(id, "no encryption keys are configured");
      return undefined;
    }
    try {
      return this.#sealer.open(sealed, id);
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      this.#onSealed(id, error.message);
      return undefined;
    }
  }
}
