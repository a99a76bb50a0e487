/**
 * Lets many waiters share one run of an asynchronous read, without ever handing a waiter a run that began
 * before it asked: who comes while one is under way waits for the next. So an answer is always at least as
 * new as its question, and there are never more than two runs for any number of waiters.
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
    if (this.#current === undefined) return this.#start();
    this.#next ??= this.#current.then(
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
