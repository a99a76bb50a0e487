import { setTimeout } from "node:timers/promises";
import { Failure } from "@gatehouse/service/failure";
import type { Backlog } from "./backlog.ts";
import { DamagedBatch } from "./batch-store.ts";
import type { Epoch } from "./epoch.ts";
import type { SpoolLog } from "./spool-log.ts";

/**
 * Brings sealed batches to metering, each epoch's in order, forever.
 *
 * Metering says for each epoch which number it expects next, when the epoch is registered and with every answer; what is
 * below that is acknowledged, so a batch that was taken while its answer was lost is not sent twice. A SEQUENCE_GAP that
 * names an earlier number means that metering was restored: every epoch is registered again and kept batches are sent
 * once more. If the expected batch is not here any more, the epoch is stuck: it waits for an operator (AcceptGap), is
 * asked about now and then, and holds up nothing else. Epochs do not depend on each other, so they take turns, one
 * batch each: a long backlog of an old epoch must not delay the answer to a recall.
 */

export interface RegisterProducer {
  readonly producer: string;
  readonly epoch: number;
}

export interface OutgoingBatch extends RegisterProducer {
  readonly sequence: number;
  readonly digest: Uint8Array;
  readonly payload: Uint8Array;
}

export interface Expected {
  readonly expectedSequence: number;
}

/** Options of {@link Shipper}. Calls should end when the signal is aborted; the shipper does not wait longer. */
export interface ShipperOptions {
  /** A Spool. */
  readonly spool: { readonly producer: string; readonly backlog: Backlog; readonly nowMs: () => number };
  readonly register: (producer: RegisterProducer, signal: AbortSignal) => Promise<Expected>;
  /** Throws Failure SEQUENCE_GAP with metadata `expected_sequence`, or DIGEST_MISMATCH. */
  readonly send: (batch: OutgoingBatch, signal: AbortSignal) => Promise<Expected>;
  readonly log: SpoolLog;
}

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 5000;
/** One transaction of metering takes milliseconds; an answer after this is not to be hoped for. */
const CALL_TIMEOUT_MS = 10_000;
/** How often a stuck epoch is registered again: whoever accepts a gap waits no longer than this. */
const STUCK_RETRY_MS = 10_000;

/** What the shipper knows of an epoch. */
interface Progress {
  /** Undefined until it is registered. */
  expected: number | undefined;
  /** The largest number sent by this process. */
  sent: number;
  /** Not asked about before this, on the monotonic clock. */
  waitUntilMs: number;
  retryMs: number;
  isStuck: boolean;
}

export class Shipper {
  readonly #options: ShipperOptions;
  readonly #backlog: Backlog;
  readonly #log: SpoolLog;
  readonly #progress = new WeakMap<Epoch, Progress>();
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;
  #wake = new AbortController();
  #isUnreachable = false;
  #whenDone: (() => void)[] = [];
  /** Since the start: batches that metering took, and those set aside because it had others under their numbers. */
  shipped = 0;
  rejected = 0;

  constructor(options: ShipperOptions) {
    this.#options = options;
    this.#backlog = options.spool.backlog;
    this.#log = options.log;
    this.#backlog.onSealed(() => {
      // Where metering does not answer, a new batch changes nothing.
      if (!this.#isUnreachable) {
        this.#wake.abort();
      }
    });
  }

  get pendingBatches(): number {
    return this.#backlog.pendingBatches;
  }

  get pendingBytes(): number {
    return this.#backlog.pendingBytes;
  }

  /** How long the oldest batch has waited; 0 if none does. */
  get oldestAgeMs(): number {
    const { oldestAtMs } = this.#backlog;
    return oldestAtMs === undefined ? 0 : Math.max(0, this.#options.spool.nowMs() - oldestAtMs);
  }

  /** Epochs that wait for an operator. */
  get stuckEpochs(): number {
    return this.#backlog.epochs.filter((epoch) => this.#progress.get(epoch)?.isStuck).length;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ships at once, even in a pause after a failure. */
  kick(): void {
    for (const epoch of this.#backlog.epochs) {
      const progress = this.#progressOf(epoch);
      if (!progress.isStuck) {
        progress.waitUntilMs = 0;
      }
    }
    this.#wake.abort();
  }

  /** Waits until nothing is left that can be shipped, at most `timeoutMs`. Answers whether no batch waits. */
  async drain(timeoutMs: number): Promise<boolean> {
    if (this.pendingBatches > 0 && this.#running !== undefined) {
      const done = new Promise<void>((resolve) => this.#whenDone.push(resolve));
      this.kick();
      const timeout = new AbortController();
      await Promise.race([
        done,
        setTimeout(timeoutMs, undefined, { signal: timeout.signal }).catch(() => {}),
      ]);
      timeout.abort();
    }
    return this.pendingBatches === 0;
  }

  /** Drains for at most `drainMs`, then ends; cuts a call short that is under way. Answers like `drain`. */
  async stop(drainMs: number): Promise<boolean> {
    await this.drain(drainMs);
    this.#stopped.abort();
    this.#wake.abort();
    await this.#running;
    return this.pendingBatches === 0;
  }

  async #run(): Promise<void> {
    let retryMs = RETRY_MIN_MS;
    while (!this.#stopped.signal.aborted) {
      this.#wake = new AbortController();
      try {
        const hasShipped = await this.#round();
        retryMs = RETRY_MIN_MS;
        this.#isUnreachable = false;
        if (!hasShipped) {
          this.#reportDone();
          await this.#pause(this.#idleMs());
        }
      } catch (error) {
        if (this.#stopped.signal.aborted) {
          return;
        }
        const fields = { err: error, pending: this.pendingBatches };
        this.#log.warn(fields, "metering does not answer; its batches wait");
        this.#isUnreachable = true;
        await this.#pause(retryMs);
        retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
      }
    }
  }

  /** One batch of every epoch, oldest epoch first. Throws Unreachable. */
  async #round(): Promise<boolean> {
    let hasShipped = false;
    for (const epoch of [...this.#backlog.epochs]) {
      const progress = this.#progressOf(epoch);
      try {
        hasShipped = (await this.#step(epoch, progress)) || hasShipped;
      } catch (error) {
        progress.expected = undefined;
        if (error instanceof Unreachable) {
          throw error;
        }
        progress.waitUntilMs = performance.now() + progress.retryMs;
        progress.retryMs = Math.min(progress.retryMs * 2, RETRY_MAX_MS);
        const fields = { err: error, epoch: epoch.number, pending: epoch.pending.length };
        this.#log.warn(fields, "an epoch could not be shipped; trying again");
      }
    }
    return hasShipped;
  }

  // Until an epoch that waits may be tried again.
  #idleMs(): number {
    const waits = this.#backlog.epochs.map(
      (epoch) => this.#progressOf(epoch).waitUntilMs - performance.now(),
    );
    return Math.min(STUCK_RETRY_MS, ...waits.filter((waitMs) => waitMs > 0).map((waitMs) => waitMs + 1));
  }

  #reportDone(): void {
    const { epochs } = this.#backlog;
    if (epochs.every((epoch) => epoch.pending.length === 0 || this.#progressOf(epoch).isStuck)) {
      for (const resolve of this.#whenDone.splice(0)) {
        resolve();
      }
    }
  }

  /** Answers whether there may be more to ship. */
  async #step(epoch: Epoch, progress: Progress): Promise<boolean> {
    if (epoch.lastSequence === 0 || progress.waitUntilMs > performance.now()) {
      return false;
    }
    if (progress.expected === undefined) {
      await this.#register(epoch, progress);
      return true;
    }
    const sequence = progress.expected;
    if (sequence > epoch.lastSequence) {
      return false;
    }
    try {
      const batch = await epoch.read(sequence);
      if (batch === undefined) {
        this.#stick(epoch, progress, "metering expects a batch that is not in the spool any more");
      } else {
        progress.sent = Math.max(progress.sent, sequence);
        const expected = await this.#send(epoch, sequence, batch);
        this.shipped++;
        if (expected <= sequence) {
          throw new Error(`metering took batch ${sequence} and expects ${expected} next`);
        }
        await this.#take(epoch, progress, expected);
      }
    } catch (error) {
      await this.#onFailure(epoch, progress, sequence, error);
    }
    return true;
  }

  async #register(epoch: Epoch, progress: Progress): Promise<void> {
    const { producer } = this.#options.spool;
    const answer = this.#call((signal) => this.#options.register({ producer, epoch: epoch.number }, signal));
    await this.#take(epoch, progress, (await answer).expectedSequence);
  }

  async #send(epoch: Epoch, sequence: number, batch: { digest: Buffer; payload: Buffer }): Promise<number> {
    const outgoing = { producer: this.#options.spool.producer, epoch: epoch.number, sequence, ...batch };
    return (await this.#call((signal) => this.#options.send(outgoing, signal))).expectedSequence;
  }

  /** Metering has everything below `expected`. */
  async #take(epoch: Epoch, progress: Progress, expected: number): Promise<void> {
    if (epoch.isLive && expected > progress.sent + 1) {
      const fields = { epoch: epoch.number, expected, sent: progress.sent };
      this.#log.error(fields, "ALARM: another process ships batches under this producer and epoch");
      this.#stick(epoch, progress, "metering knows batches of this epoch that it did not get from here");
      return;
    }
    progress.expected = expected;
    progress.isStuck = false;
    progress.retryMs = RETRY_MIN_MS;
    await epoch.acknowledge(expected, this.#options.spool.nowMs());
    await this.#backlog.prune(this.#options.spool.nowMs());
  }

  async #onFailure(epoch: Epoch, progress: Progress, sequence: number, error: unknown): Promise<void> {
    const reason = error instanceof Failure ? error.reason : undefined;
    if (reason === "DIGEST_MISMATCH" || error instanceof DamagedBatch) {
      const fields = { err: error, epoch: epoch.number, sequence };
      this.#log.error(
        fields,
        "ALARM: a batch is not what metering took under its number, or damaged; set aside",
      );
      this.rejected++;
      await epoch.reject(sequence);
      progress.expected = undefined;
      return;
    }
    const expected = Number((error as Failure).metadata?.expected_sequence);
    if (reason !== "SEQUENCE_GAP" || !(expected >= 1 && expected < sequence)) {
      throw error;
    }
    this.#log.warn(
      { epoch: epoch.number, sequence, expected },
      "metering expects another batch; was it restored?",
    );
    for (const other of this.#backlog.epochs) {
      this.#progressOf(other).expected = undefined;
    }
    await this.#take(epoch, progress, expected);
  }

  #stick(epoch: Epoch, progress: Progress, why: string): void {
    const { number, pending } = epoch;
    const { expected } = progress;
    // The number that AcceptGap takes.
    const next = [...epoch.kept, ...pending].find(({ sequence }) => sequence > (expected ?? 0))?.sequence;
    const fields = { epoch: number, expected, acceptGap: next, pending: pending.length };
    this.#log.error(
      fields,
      `ALARM: the epoch cannot continue past a gap: ${why}. Accept the gap, or restore it`,
    );
    progress.expected = undefined;
    progress.isStuck = true;
    progress.waitUntilMs = performance.now() + STUCK_RETRY_MS;
  }

  #progressOf(epoch: Epoch): Progress {
    let progress = this.#progress.get(epoch);
    if (progress === undefined) {
      progress = { expected: undefined, sent: 0, waitUntilMs: 0, retryMs: RETRY_MIN_MS, isStuck: false };
      this.#progress.set(epoch, progress);
    }
    return progress;
  }

  // A call that ignores its signal must not hang the shipper.
  async #call<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const settled = new AbortController();
    const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
    const overdue = new Promise<never>((_, reject) => {
      const options = { signal: settled.signal, once: true };
      signal.addEventListener("abort", () => reject(signal.reason as Error), options);
    });
    try {
      signal.throwIfAborted();
      return await Promise.race([call(signal), overdue]);
    } catch (error) {
      throw isAnswer(error) ? error : new Unreachable("metering is out of reach", { cause: error });
    } finally {
      settled.abort();
    }
  }

  async #pause(timeoutMs: number): Promise<void> {
    await setTimeout(timeoutMs, undefined, { signal: this.#wake.signal, ref: false }).catch(() => {});
  }
}

/** Metering did not answer: no epoch can be shipped now. */
class Unreachable extends Error {
  override readonly name = "Unreachable";
}

/** Whether metering itself said so. */
function isAnswer(error: unknown): boolean {
  return error instanceof Failure && error.code !== "UNAVAILABLE" && error.code !== "DEADLINE_EXCEEDED";
}
