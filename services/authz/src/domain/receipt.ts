/** Whether a decision was written down: settled once, by the journal, at the end of the turn. */
export class Receipt {
  #settled = false;
  #error: Error | undefined;
  #callback: ((error?: Error) => void) | undefined;
  #onFailure: (() => void) | undefined;

  settle(error: Error | undefined): void {
    this.#settled = true;
    this.#error = error;
    if (error !== undefined) this.#onFailure?.();
    this.#callback?.(error);
  }

  /** Calls back once it is known; one callback only. */
  whenSettled(callback: (error?: Error) => void): void {
    if (this.#settled) callback(this.#error);
    else this.#callback = callback;
  }

  /** Calls back if it was not written down, before anybody is answered; one callback only. */
  whenFailed(callback: () => void): void {
    if (!this.#settled) this.#onFailure = callback;
    else if (this.#error !== undefined) callback();
  }
}
