/**
 * At-most-once messages between processes, as a bell: it hastens, and nothing may depend on it.
 *
 * The contract, which one suite tests on every implementation:
 * - publishing never fails and never waits because of the network; what cannot be sent at once is lost;
 * - messages of one publisher on one subject arrive in order; the publisher's own subscriptions get them too;
 * - a handler is never called from inside `publish`, one that throws is logged and gets the next message;
 * - after `close` no handler is called, `publish` does nothing and `subscribe` throws.
 */
export interface Bus {
  /**
   * @param subject tokens of letters, digits, `-` and `_`, joined by `.`
   * @throws RangeError for another subject, or for more than {@link BUS_PAYLOAD_BYTES_MAX}
   */
  publish(subject: string, payload: Uint8Array): void;
  /**
   * @param pattern a subject in which `*` stands for one token, and `>` at the end for one or more
   * @throws RangeError for another pattern
   */
  subscribe(pattern: string, handler: BusHandler): BusSubscription;
  /** Whether messages can get through now. For metrics and logs; it may change before the next line runs. */
  readonly connected: boolean;
  /** Sends what was published, then ends. Idempotent; takes at most a few seconds. */
  close(): Promise<void>;
}

/** Takes one message. It is synchronous: a bell wakes something up, and does no work. */
export type BusHandler = (payload: Uint8Array, subject: string) => void;

export interface BusSubscription {
  unsubscribe(): void;
}

/** The largest payload, in bytes. A bell carries names, not state. */
export const BUS_PAYLOAD_BYTES_MAX = 64 * 1024;

const SUBJECT = /^[\w-]+(\.[\w-]+)*$/;
const PATTERN = /^(?:[\w-]+|\*)(?:\.(?:[\w-]+|\*))*(?:\.>)?$|^>$/;

/** Throws a RangeError for what {@link Bus.publish} does not take. */
export function checkMessage(subject: string, payload: Uint8Array): void {
  if (!SUBJECT.test(subject)) {
    throw new RangeError(`not a subject: ${subject}`);
  }
  if (payload.byteLength > BUS_PAYLOAD_BYTES_MAX) {
    throw new RangeError(`a payload of ${payload.byteLength} bytes is larger than ${BUS_PAYLOAD_BYTES_MAX}`);
  }
}

/** Throws a RangeError for what {@link Bus.subscribe} does not take. */
export function checkPattern(pattern: string): void {
  if (!PATTERN.test(pattern)) {
    throw new RangeError(`not a subject pattern: ${pattern}`);
  }
}
