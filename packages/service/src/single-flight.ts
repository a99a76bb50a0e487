import { withDeadline } from "./deadline.ts";
import { overloaded, unavailable } from "./failure.ts";

/** Options of {@link SingleFlight}. */
export interface SingleFlightOptions<K, V> {
  /** Makes the one request for a key. Its signal aborts at the request's own deadline. */
  readonly run: (key: K, signal: AbortSignal) => Promise<V>;
  /** The request's own deadline, in milliseconds, whatever its callers' deadlines are. */
  readonly timeoutMs: number;
  /** The most keys in flight; one more is refused as OVERLOADED. Default 10 000. */
  readonly inFlightMax?: number | undefined;
}

/**
 * Callers that ask for the same key while a request for it is running share that request.
 *
 * The request belongs to nobody: a caller that gives up only removes itself, a request that hangs is abandoned
 * at its own deadline and the next caller makes a new one, and nothing is kept once it has ended, least of all
 * a failure.
 */
export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Promise<V>>();
  readonly #options: SingleFlightOptions<K, V>;

  constructor(options: SingleFlightOptions<K, V>) {
    this.#options = options;
  }

  /** How many keys are in flight. */
  get size(): number {
    return this.#flights.size;
  }

  /**
   * The value for `key`. Rejects with `signal.reason` when the caller gives up, with UNAVAILABLE at the request's
   * deadline, and with what `run` threw otherwise.
   */
  async get(key: K, signal?: AbortSignal): Promise<V> {
    signal?.throwIfAborted();
    const flight = this.#flights.get(key) ?? this.#start(key);
    return signal === undefined ? flight : unlessAborted(flight, signal);
  }

  #start(key: K): Promise<V> {
    const { run, timeoutMs, inFlightMax = 10_000 } = this.#options;
    if (this.#flights.size >= inFlightMax) {
      throw overloaded("too many reads are in flight");
    }
    const aborter = new AbortController();
    const late = () => {
      const error = unavailable(`no answer within ${timeoutMs} ms`);
      aborter.abort(error);
      return error;
    };
    const flight = withDeadline((async () => run(key, aborter.signal))(), timeoutMs, late).finally(() =>
      this.#flights.delete(key),
    );
    flight.catch(() => {}); // every caller may have left by the time it fails
    this.#flights.set(key, flight);
    return flight;
  }
}

async function unlessAborted<V>(flight: Promise<V>, signal: AbortSignal): Promise<V> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([flight, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
