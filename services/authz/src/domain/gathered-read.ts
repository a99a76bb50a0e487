/**
 * Reads by name that are asked for in one event-loop turn and travel in one request. It settles within its own
 * deadline, so one that hangs holds up nobody who comes after.
 */
export class GatheredRead<R> {
  readonly #read: (names: readonly string[]) => Promise<R>;
  readonly #max: number;
  #gathering: { readonly names: string[]; readonly answer: Promise<R> } | undefined;

  /** `max` names in one request. */
  constructor(read: (names: readonly string[]) => Promise<R>, max: number) {
    this.#read = read;
    this.#max = max;
  }

  /** The answer of the request that has the name among others. */
  ask(name: string): Promise<R> {
    if (this.#gathering === undefined || this.#gathering.names.length === this.#max) {
      const names: string[] = [];
      const answer = new Promise((resolve) => setImmediate(resolve)).then(() => {
        if (this.#gathering?.names === names) this.#gathering = undefined;
        return this.#read(names);
      });
      this.#gathering = { names, answer };
    }
    this.#gathering.names.push(name);
    return this.#gathering.answer;
  }
}
