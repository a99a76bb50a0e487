import { carrierOf, type Trace } from "./trace.ts";

/**
 * Reads by name that are asked for in one event-loop turn and travel in one request. It settles within its own
 * deadline, so one that hangs holds up nobody who comes after. It is a part of the first trace that asks for it.
 */
export class GatheredRead<R> {
  readonly #read: (names: readonly string[], trace: Trace | undefined) => Promise<R>;
  readonly #max: number;
  #gathering: Gathering<R> | undefined;

  /** `max` names in one request. */
  constructor(read: (names: readonly string[], trace: Trace | undefined) => Promise<R>, max: number) {
    this.#read = read;
    this.#max = max;
  }

  /** The answer of the request that has the name among others. */
  ask(name: string, trace?: Trace): Promise<R> {
    if (this.#gathering === undefined || this.#gathering.names.length === this.#max) {
      const names: string[] = [];
      const answer = new Promise((resolve) => setImmediate(resolve)).then(() => {
        if (this.#gathering?.names === names) this.#gathering = undefined;
        return this.#read(names, gathering.trace);
      });
      const gathering: Gathering<R> = { names, answer, trace: undefined };
      this.#gathering = gathering;
    }
    this.#gathering.names.push(name);
    this.#gathering.trace = carrierOf(this.#gathering.trace, trace);
    return this.#gathering.answer;
  }
}

interface Gathering<R> {
  readonly names: string[];
  readonly answer: Promise<R>;
  trace: Trace | undefined;
}
