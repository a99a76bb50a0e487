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

  /**
   * Nobody waits any longer to know: they are told so, as if it had failed. What is charged stays charged, unless it is
   * settled later that it was not written down.
   */
  late(error: Error): void {
    if (this.#settled) return;
    this.#error = error;
    const callback = this.#callback;
    this.#callback = undefined;
    callback?.(error);
  }

  /** Whether it is not known yet and waited for no longer. */
  get isLate(): boolean {
    return !this.#settled && this.#error !== undefined;
  }

  /** Calls back once it is known, or too late to be waited for; one callback only. */
  whenSettled(callback: (error?: Error) => void): void {
    if (this.#settled || this.#error !== undefined) callback(this.#error);
    else this.#callback = callback;
  }

  /** Calls back if it was not written down, before anybody is answered; one callback only. */
  whenFailed(callback: () => void): void {
    if (!this.#settled) this.#onFailure = callback;
    else if (this.#error !== undefined) callback();
  }
}
