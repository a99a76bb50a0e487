import { writeSync } from "node:fs";
import { seldom } from "@gatehouse/service";
import type { ReservationRecord, SeriesName, Waiting } from "../domain/journal.ts";
import type { Backlog } from "./backlog.ts";
import {
  assertMinute,
  assertUnits,
  DENIED_BYTES,
  FLUSH_BYTES,
  FLUSH_UNITS,
  MAX_PENDING_BYTES,
  MAX_TURN_BYTES,
} from "./bounds.ts";
import { Denials } from "./denials.ts";
import type { DirectoryLock } from "./directory-lock.ts";
import { DiskWatch } from "./disk-watch.ts";
import { LiveSegment } from "./live-segment.ts";
import { CLOSED, GRANTED } from "./record.ts";
import { reservationFields } from "./reservation.ts";
import { Sealer } from "./sealer.ts";
import { LeaseRef, type Series, SeriesTable } from "./series.ts";
import type { SpoolLog } from "./spool-log.ts";
import type { SpoolOptions, WrittenCallback } from "./spool-options.ts";
import { type LeaseMark, Turn } from "./turn.ts";
import { inMemory, onDisk, type Workplace } from "./workplace.ts";

/** What fails is logged no more often than this. */
const REPORT_EVERY_MS = 1000;

/**
 * Records charged decisions on their way to metering.
 *
 * A decision's records are made in one stretch of code without an await and end with `whenWritten`. The records of one
 * event-loop turn are one frame, written at its end with one call; then the callbacks run. If the write fails, nothing of
 * the turn is recorded, its callbacks get the error, and the next turn begins a new segment. Grants and closes of leases
 * are facts whatever becomes of a decision: after a failure they are said again with the next turn.
 *
 * A segment is sealed into a batch off the hot path, one after the other, while the next one is written. Whoever dies
 * in between leaves segments, and the next `open` on the directory seals them.
 */
export class Spool {
  readonly producer: string;
  readonly epoch: number;
  /** The sealed batches that wait for metering. */
  readonly backlog: Backlog;
  readonly nowMs: () => number;
  readonly #options: SpoolOptions;
  readonly #log: SpoolLog;
  readonly #sealer: Sealer;
  readonly #live: LiveSegment;
  readonly #lock: DirectoryLock | undefined;
  readonly #sealTimer: NodeJS.Timeout;

  readonly #table = new SeriesTable();
  readonly #turn = new Turn();
  readonly #denials = new Denials();
  #callbacks: WrittenCallback[] = [];
  #waiting: Waiting[] = [];
  readonly #disk: DiskWatch;
  #carried: LeaseMark[] = [];
  #due: (() => void)[] = [];
  #isScheduled = false;
  #isFlushing = false;
  #isInDecision = false;
  #isSealWanted = false;
  #failedTurns = 0;
  // A full disk fails hundreds of turns a second.
  readonly #tellFailure = this.#seldom("the spool could not record a turn");
  readonly #tellFault = this.#seldom("who waited for a turn of the spool failed by a fault");

  private constructor(options: SpoolOptions, workplace: Workplace) {
    const memory = options.sync === "off";
    this.producer = options.producer;
    this.nowMs = options.nowMs ?? Date.now;
    this.#options = options;
    this.#log = options.log;
    this.epoch = workplace.live.number;
    this.#lock = workplace.lock;
    this.backlog = workplace.backlog;
    const { live: epoch, backlog, files } = workplace;
    this.#sealer = new Sealer({ epoch, backlog, files, log: options.log, nowMs: this.nowMs });
    this.#disk = new DiskWatch(options.syncMsMax);
    this.#live = new LiveSegment({
      ...{ backlog, files, sealer: this.#sealer, watch: this.#disk },
      isDurable: options.sync === "fsync",
      write: options.write ?? writeSync,
      syncFile: options.syncFile,
      maxSegmentBytes: options.maxSegmentBytes ?? 8 * 1024 * 1024,
      maxPendingBytes: options.maxPendingBytes ?? MAX_PENDING_BYTES[memory ? "memory" : "disk"],
    });
    this.#sealTimer = setInterval(() => this.#onTimer(), options.sealEveryMs ?? 1000).unref();
  }

  /**
   * Takes the directory, recovers what earlier processes left in it, and begins an epoch. Throws an Error naming the
   * directory if another process holds it.
   */
  static async open(options: SpoolOptions): Promise<Spool> {
    const { directory, sync, log, nowMs = Date.now } = options;
    const isDurable = sync === "fsync";
    return new Spool(
      options,
      sync === "off" ? inMemory(nowMs) : await onDisk({ directory, isDurable, log, nowMs }),
    );
  }

  /** Turns that could not be recorded since the start. */
  get failedTurns(): number {
    return this.#failedTurns;
  }

  /** Whether the disk has an fsync that it does not answer. */
  get isHung(): boolean {
    return this.#disk.isHung;
  }

  /** Segments that were sealed since the start, and those that wait for it. */
  get segments(): { readonly sealed: number; readonly waiting: number } {
    return this.#sealer;
  }

  /** The handle of a series; keep it where it is used often. Throws RangeError for names beyond their bound. */
  series(name: SeriesName): Series {
    return this.#table.get(name);
  }

  /** A handle of a lease: to be made once, and kept with the lease. */
  lease(leaseId: string): LeaseRef {
    return new LeaseRef(leaseId);
  }

  /** This epoch now holds the lease. Whoever recovers the epoch closes it. */
  granted(lease: LeaseRef): void {
    this.#mark(GRANTED, lease);
  }

  /** Charges a decision: once for each meter. 0 units record nothing, and cost nothing. Minutes are of Unix time. */
  charge(series: Series, minute: number, units: number, micros = 0): void {
    assertUnits(units);
    assertUnits(micros);
    assertMinute(minute);
    if (units > 0) {
      this.#isInDecision = true;
      this.#turn.charge(series, minute, units, micros);
      this.#schedule();
    }
  }

  /** A decision spends units of a lease of a quota or a wallet. */
  spend(lease: LeaseRef, units: number): void {
    assertUnits(units);
    if (units > 0) {
      this.#isInDecision = true;
      this.#turn.spend(lease, units);
      this.#schedule();
    }
  }

  /** A decision holds what it has charged, to be settled later. Throws RangeError for names beyond their bound. */
  reserve(record: ReservationRecord<LeaseRef>): void {
    assertMinute(record.minute);
    const fields = reservationFields(record);
    this.#isInDecision = true;
    this.#turn.reserve(fields);
    this.#schedule();
  }

  /** Nothing will be spent from the lease any more: what was not spent goes back. */
  close(lease: LeaseRef): void {
    lease.isClosed = true;
    this.#mark(CLOSED, lease);
  }

  /** Counts a denied call in memory; it joins the batch that is sealed next. */
  denied(series: Series): void {
    this.#denials.count(series, Math.floor(this.nowMs() / 60_000), this.#turn);
    if (this.#denials.bytes >= DENIED_BYTES) this.#denials.moveTo(this.#turn);
    if (!this.#turn.isEmpty) this.#schedule();
  }

  /**
   * Ends a decision. The callback runs once, after the turn's write and never within this call. `waiting` is told before
   * where the disk hangs, which only `fsync` waits for.
   */
  whenWritten(callback: WrittenCallback, waiting?: Waiting): void {
    this.#isInDecision = false;
    this.#callbacks.push(callback);
    if (waiting !== undefined && this.#options.sync === "fsync") this.#waiting.push(waiting);
    this.#schedule();
    this.#flushIfLarge();
  }

  /**
   * Seals the segment after this turn's write. Resolves, never rejects, when its batch is in the backlog, or at once if
   * there is nothing to seal.
   */
  async seal(): Promise<void> {
    this.#isSealWanted = true;
    this.#schedule();
    await new Promise<void>((resolve) => setImmediate(resolve));
    await this.#sealer.whenIdle();
  }

  /**
   * Writes and seals what there is, waits for `drain`, and gives the directory up. Turns after this call fail. Does not
   * close leases; those still open are closed by the next `open`.
   */
  async stop(drain: () => Promise<unknown> = async () => {}): Promise<void> {
    clearInterval(this.#sealTimer);
    this.#isSealWanted = true;
    this.#endTurn();
    this.#live.stop();
    try {
      await this.#sealer.stop();
      await drain();
    } finally {
      this.#lock?.release();
    }
  }

  #mark(kind: LeaseMark["kind"], lease: LeaseRef): void {
    this.#turn.mark(kind, lease);
    this.#schedule();
    if (!this.#isInDecision) this.#flushIfLarge();
  }

  #schedule(): void {
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => this.#endTurn());
    }
  }

  #endTurn(): void {
    this.#isScheduled = false;
    this.#isInDecision = false;
    for (const { kind, lease } of this.#carried.splice(0)) {
      this.#flushIfLarge();
      this.#turn.mark(kind, lease);
    }
    if (this.#isSealWanted) this.#denials.moveTo(this.#turn);
    this.#flush();
    if (this.#isSealWanted) {
      this.#isSealWanted = false;
      this.#rotate();
    }
    for (const run of this.#due.splice(0)) run();
  }

  #flushIfLarge(): void {
    const { byteLength, growthBytes, units } = this.#turn;
    if (byteLength >= FLUSH_BYTES || growthBytes >= FLUSH_BYTES || units >= FLUSH_UNITS) this.#flush();
  }

  #flush(): void {
    const callbacks = this.#callbacks;
    if (callbacks.length > 0) this.#callbacks = [];
    const waiting = this.#waiting;
    if (waiting.length > 0) this.#waiting = [];
    if (this.#turn.isEmpty) {
      this.#due.push(() => this.#run(callbacks));
      return;
    }
    this.#isFlushing = true;
    const frame = this.#turn.take();
    const startedMs = performance.now();
    const settle = (error?: Error) => {
      this.#options.onWritten?.(performance.now() - startedMs);
      this.#settle(frame.marks, callbacks, error);
    };
    try {
      if (frame.bytes.length > MAX_TURN_BYTES || frame.growthBytes > MAX_TURN_BYTES) {
        throw new Error(`a turn of ${frame.bytes.length} bytes is too large for the spool`);
      }
      const segment = this.#live.segment();
      segment.growthBytes += frame.growthBytes;
      segment.units += frame.units;
      segment.append(frame.bytes, settle, waiting);
      if (segment.isBroken || this.#live.isFull) {
        this.#rotate();
      }
    } catch (error) {
      settle(error as Error);
      // The turn has numbered series in a segment that will not hold their definitions.
      this.#rotate();
    } finally {
      this.#isFlushing = false;
    }
  }

  #seldom(message: string): (err: unknown) => void {
    const tell = (err: unknown) =>
      this.#log.error({ err, epoch: this.epoch, failedTurns: this.#failedTurns }, message);
    return seldom(tell, () => performance.now(), REPORT_EVERY_MS);
  }

  // Callbacks run at the end of their turn even if it was flushed earlier, and at once if the disk answers later.
  #settle(
    marks: readonly LeaseMark[],
    callbacks: readonly WrittenCallback[],
    error: Error | undefined,
  ): void {
    if (error !== undefined) {
      this.#failedTurns++;
      this.#tellFailure(error);
      this.#carried.push(...marks.filter(({ kind, lease }) => kind === CLOSED || !lease.isClosed));
    }
    if (this.#isFlushing) {
      this.#due.push(() => this.#run(callbacks, error));
    } else {
      this.#run(callbacks, error);
    }
  }

  // One that throws is a fault of its own, and takes nobody else's answer with it.
  #run(callbacks: readonly WrittenCallback[], error?: Error): void {
    for (const callback of callbacks) {
      try {
        callback(error);
      } catch (fault) {
        this.#tellFault(fault);
      }
    }
  }

  // Only while the turn is empty.
  #rotate(): void {
    this.#live.rotate();
    this.#turn.beginSegment();
  }

  #onTimer(): void {
    if (this.#live.isBegun || this.#denials.bytes > 0 || this.#carried.length > 0) {
      void this.seal();
    }
    this.backlog.prune(this.nowMs()).catch((error) => {
      this.#log.warn({ err: error }, "acknowledged batches could not be deleted");
    });
  }
}
