import type { Outcome } from "./post.ts";

/** A delivery that was claimed for one attempt. */
export interface DeliveryClaim {
  /** Whom it goes to; attempts of one receiver are bounded. */
  readonly receiver: string;
}

/** Where deliveries are kept. */
export interface Deliveries<D extends DeliveryClaim> {
  /**
   * Claims at most `limit` deliveries that are due, so that nobody else attempts them for as long as one attempt
   * takes: at most `perReceiver` of one receiver, or what `room` says for it.
   */
  claim(limits: {
    readonly limit: number;
    readonly perReceiver: number;
    readonly room: ReadonlyMap<string, number>;
  }): Promise<readonly D[]>;
  /** Writes down what came of an attempt. */
  settle(delivery: D, outcome: Outcome): Promise<void>;
}

export interface DeliveryPumpOptions<D extends DeliveryClaim> {
  readonly deliveries: Deliveries<D>;
  /** One attempt. Bounds its own time; ends soon after the signal aborts. */
  readonly send: (delivery: D, signal: AbortSignal) => Promise<Outcome>;
  /** There is room again: the time to call `fill`. */
  readonly onSettled: () => void;
  /** What could not be written down is tried again by itself, once its claim is over. */
  readonly onError: (error: unknown) => void;
  readonly maxInFlight?: number;
  readonly perReceiver?: number;
}

const MAX_IN_FLIGHT = 64;
const PER_RECEIVER = 4;
/** Receivers that are known to fail; forgetting one costs a few more attempts at once. */
const MAX_FAILING = 10_000;

/**
 * Attempts deliveries, many at once. A receiver that is slow has a few attempts on their way and the rest wait in
 * the database; one that fails has a single one. So neither takes the room of the others.
 */
export class DeliveryPump<D extends DeliveryClaim> {
  readonly #options: DeliveryPumpOptions<D>;
  readonly #maxInFlight: number;
  readonly #perReceiver: number;
  readonly #inFlight = new Map<string, number>();
  readonly #failing = new Set<string>();
  readonly #attempts = new Set<Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(options: DeliveryPumpOptions<D>) {
    this.#options = options;
    this.#maxInFlight = options.maxInFlight ?? MAX_IN_FLIGHT;
    this.#perReceiver = options.perReceiver ?? PER_RECEIVER;
  }

  /** Starts attempts of what is due, as many as there is room for; does not wait for them. Not to be overlapped. */
  async fill(): Promise<void> {
    const limit = this.#maxInFlight - this.#attempts.size;
    if (limit <= 0 || this.#stopping.signal.aborted) return;
    const claimed = await this.#options.deliveries.claim({
      limit,
      perReceiver: this.#perReceiver,
      room: this.#room(),
    });
    for (const delivery of claimed) this.#start(delivery);
  }

  /** Interrupts what is on its way, and waits until that is written down. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#attempts);
  }

  #room(): Map<string, number> {
    const room = new Map<string, number>();
    for (const receiver of [...this.#failing, ...this.#inFlight.keys()]) {
      const most = this.#failing.has(receiver) ? 1 : this.#perReceiver;
      room.set(receiver, Math.max(0, most - (this.#inFlight.get(receiver) ?? 0)));
    }
    return room;
  }

  #start(delivery: D): void {
    const { receiver } = delivery;
    this.#inFlight.set(receiver, (this.#inFlight.get(receiver) ?? 0) + 1);
    const attempt = this.#attempt(delivery)
      .catch(this.#options.onError)
      .finally(() => {
        this.#attempts.delete(attempt);
        const left = this.#inFlight.get(receiver)! - 1;
        if (left === 0) this.#inFlight.delete(receiver);
        else this.#inFlight.set(receiver, left);
        if (!this.#stopping.signal.aborted) this.#options.onSettled();
      });
    this.#attempts.add(attempt);
  }

  async #attempt(delivery: D): Promise<void> {
    const outcome = await this.#options.send(delivery, this.#stopping.signal);
    this.#remember(delivery.receiver, outcome.taken);
    await this.#options.deliveries.settle(delivery, outcome);
  }

  #remember(receiver: string, taken: boolean): void {
    this.#failing.delete(receiver);
    if (taken) return;
    this.#failing.add(receiver);
    if (this.#failing.size > MAX_FAILING) this.#failing.delete(this.#failing.values().next().value!);
  }
}
