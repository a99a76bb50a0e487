import { withDeadline } from "./deadline.ts";
import type { Log } from "./log.ts";

/**
 * The first SIGINT or SIGTERM. The handlers are taken off again then, so that a second signal ends a process
 * whose shutdown hangs.
 */
export function untilSignal(): Promise<NodeJS.Signals> {
  const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM"];
  return new Promise((resolve) => {
    const receive = (signal: NodeJS.Signals) => {
      for (const each of signals) {
        process.off(each, receive);
      }
      resolve(signal);
    };
    for (const signal of signals) {
      process.on(signal, receive);
    }
  });
}

interface Closable {
  readonly name: string;
  readonly close: () => unknown;
  readonly deadlineMs: number;
}

/**
 * What has been opened, to be closed in reverse order, each within a deadline of its own. Closing goes on past
 * what fails or hangs, and never rejects: the log says what did.
 */
export class Disposables {
  readonly #opened: Closable[] = [];
  readonly #log: Pick<Log, "warn">;
  #closing: Promise<void> | undefined;

  constructor(log: Pick<Log, "warn">) {
    this.#log = log;
  }

  /** `close` runs after everything added later has closed, for at most `deadlineMs` (default 10 000). */
  add(name: string, close: () => unknown, deadlineMs = 10_000): void {
    this.#opened.push({ name, close, deadlineMs });
  }

  /** Adds a thing that can dispose of itself, and returns it. */
  use<T extends AsyncDisposable>(name: string, thing: T, deadlineMs?: number): T {
    this.add(name, () => thing[Symbol.asyncDispose](), deadlineMs);
    return thing;
  }

  /** Closes everything; a second call waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #closeAll(): Promise<void> {
    for (let last = this.#opened.pop(); last !== undefined; last = this.#opened.pop()) {
      const { name, close, deadlineMs } = last;
      try {
        const late = () => new Error(`${name} did not close within ${deadlineMs} ms`);
        await withDeadline((async () => close())(), deadlineMs, late);
      } catch (error) {
        this.#log.warn({ err: error, closing: name }, "closing failed");
      }
    }
  }
}
