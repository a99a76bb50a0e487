import { type Bus, type BusHandler, checkMessage, checkPattern } from "./bus.ts";
import type { Log } from "./log.ts";

interface Listener {
  readonly matches: RegExp;
  readonly handler: BusHandler;
}

/** A bus inside one process, for a stack without NATS. */
export function localBus({ log }: { readonly log: Pick<Log, "error"> }): Bus {
  const listeners = new Set<Listener>();
  let closed = false;

  function deliver(subject: string, payload: Uint8Array): void {
    for (const listener of listeners) {
      if (!listener.matches.test(subject)) {
        continue;
      }
      try {
        listener.handler(payload, subject);
      } catch (error) {
        log.error({ err: error, subject }, "a bus handler failed");
      }
    }
  }

  return {
    publish(subject, payload) {
      checkMessage(subject, payload);
      if (!closed) {
        const copy = payload.slice(); // the publisher may write into its buffer again
        setImmediate(deliver, subject, copy);
      }
    },
    subscribe(pattern, handler) {
      checkPattern(pattern);
      if (closed) {
        throw new Error("the bus is closed");
      }
      const listener = { matches: patternExpression(pattern), handler };
      listeners.add(listener);
      return { unsubscribe: () => void listeners.delete(listener) };
    },
    get connected() {
      return !closed;
    },
    async close() {
      closed = true;
      listeners.clear();
    },
  };
}

function patternExpression(pattern: string): RegExp {
  const source = pattern.split(".").map((token) => (token === "*" ? "[^.]+" : token === ">" ? ".+" : token));
  return new RegExp(`^${source.join("\\.")}$`);
}
