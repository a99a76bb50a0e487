/** Whether a decision was written down: settled once, by the journal, at the end of the turn. */
export class Receipt {
  #settled = false;
  #error: Error | undefined;
  #callback: ((error?: Error) => void) | undefined;

  settle(error: Error | undefined): void {
    this.#settled = true;
    this.#error = error;
    this.#callback?.(error);
  }

  /** Calls back once it is known; one callback only. */
  whenSettled(callback: (error?: Error) => void): void {
    if (this.#settled) callback(this.#error);
    else this.#callback = callback;
  }
}
