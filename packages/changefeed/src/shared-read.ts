/**
 * Lets many waiters share one run of an asynchronous read, without ever handing a waiter a run that began
 * before it asked: who comes while one is under way waits for the next. So an answer is always at least as
 * new as its question, any number of waiters cost two runs at most, and runs never overlap.
 */
export class SharedRead<T> {
  readonly #run: () => Promise<T>;
  #current: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  /** `run` must settle in bounded time: it carries its own deadline. */
  constructor(run: () => Promise<T>) {
    this.#run = run;
  }

  /** The result of a run begun after this call. */
  read(): Promise<T> {
    // First: a waiter of a run that has just ended comes back before the next has begun, and must not start a third.
    if (this.#next !== undefined) return this.#next;
    if (this.#current === undefined) return this.#start();
    this.#next = this.#current.then(
      () => this.#startNext(),
      () => this.#startNext(),
    );
    return this.#next;
  }

  #startNext(): Promise<T> {
    this.#next = undefined;
    return this.#start();
  }

  #start(): Promise<T> {
    const current = this.#run().finally(() => {
      if (this.#current === current) this.#current = undefined;
    });
    this.#current = current;
    return current;
  }
}
