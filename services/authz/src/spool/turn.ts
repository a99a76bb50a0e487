import { MAX_VARINT_BYTES, writeVarint } from "../varint.ts";
import { FRAME_HEADER_BYTES, stampFrame } from "./frame.ts";
import {
  CHARGE,
  type CLOSED,
  DEFINE_LEASE,
  DEFINE_SERIES,
  ENDED,
  FORMAT,
  type GRANTED,
  MINUTE,
  OTHER,
  PRICED,
  RESERVED,
  SPEND,
} from "./record.ts";
import type { LeaseRef, Series } from "./series.ts";

/** What a batch spends on an entry besides its names: message header, minute, units, cost, flag. */
const ENTRY_BYTES = 48;
const INITIAL_BYTES = 64 * 1024;
const PAYLOAD_START = FRAME_HEADER_BYTES + 1;

/** That a lease was handed out or closed: said again in a later turn if this one's write fails. */
export interface LeaseMark {
  readonly kind: typeof GRANTED | typeof CLOSED;
  readonly lease: LeaseRef;
}

/** A turn's frame, ready to be written, and what it does to the segment. */
export interface Frame {
  /** A view of the turn's buffer: valid until the next record. */
  readonly bytes: Buffer;
  readonly growthBytes: number;
  readonly units: number;
  readonly marks: readonly LeaseMark[];
}

/** The records of one event-loop turn, encoded as they come into one buffer that is used again and again. */
export class Turn {
  #bytes = Buffer.allocUnsafe(INITIAL_BYTES);
  #end = PAYLOAD_START;
  #minute = -1;
  #marks: LeaseMark[] = [];
  #segment = 0;
  #nextSeries = 0;
  #nextLease = 0;

  /** Bytes by which this turn can make the batch grow at most. */
  growthBytes = 0;
  /** Sum of all units and micros in this turn. */
  units = 0;

  get isEmpty(): boolean {
    return this.#end === PAYLOAD_START;
  }

  get byteLength(): number {
    return this.#end;
  }

  /** The next records go to a new segment, which knows no series or lease. Only between two turns. */
  beginSegment(): void {
    this.#segment++;
    this.#nextSeries = 0;
    this.#nextLease = 0;
  }

  /** `micros` is what the units cost. */
  charge(series: Series, minute: number, units: number, micros = 0): void {
    this.#makeRoom(series.fields.length);
    if (series.segment !== this.#segment) {
      series.segment = this.#segment;
      series.number = this.#nextSeries++;
      series.minute = minute;
      this.growthBytes += series.fields.length + ENTRY_BYTES;
      this.#define(DEFINE_SERIES, series.fields);
    } else if (series.minute !== minute) {
      series.minute = minute;
      this.growthBytes += series.fields.length + ENTRY_BYTES;
    }
    if (this.#minute !== minute) {
      this.#minute = minute;
      this.#end = writeVarint(this.#bytes, this.#end, minute * 8 + MINUTE);
    }
    if (micros === 0) {
      this.#end = writeVarint(this.#bytes, this.#end, series.number * 8 + CHARGE);
      this.#end = writeVarint(this.#bytes, this.#end, units);
    } else {
      this.#end = writeVarint(this.#bytes, this.#end, PRICED * 8 + OTHER);
      this.#end = writeVarint(this.#bytes, this.#end, series.number);
      this.#end = writeVarint(this.#bytes, this.#end, units);
      this.#end = writeVarint(this.#bytes, this.#end, micros);
    }
    this.units += units + micros;
  }

  spend(lease: LeaseRef, units: number): void {
    this.#lease(lease, SPEND);
    this.#end = writeVarint(this.#bytes, this.#end, units);
    this.units += units;
  }

  mark(kind: LeaseMark["kind"], lease: LeaseRef): void {
    this.#marks.push({ kind, lease });
    this.#lease(lease, kind);
  }

  /** Says that the epoch has ended. */
  end(): void {
    this.#makeRoom(0);
    this.growthBytes += ENTRY_BYTES;
    this.#end = writeVarint(this.#bytes, this.#end, ENDED * 8 + OTHER);
  }

  /** An estimate that is held, by the fields of its message. */
  reserve(fields: Buffer): void {
    this.#makeRoom(fields.length);
    this.growthBytes += fields.length + ENTRY_BYTES;
    this.#end = writeVarint(this.#bytes, this.#end, RESERVED * 8 + OTHER);
    this.#end = writeVarint(this.#bytes, this.#end, fields.length);
    this.#bytes.set(fields, this.#end);
    this.#end += fields.length;
  }

  /** The turn as a frame; the turn is empty afterwards. */
  take(): Frame {
    const bytes = this.#bytes.subarray(0, this.#end);
    bytes[FRAME_HEADER_BYTES] = FORMAT;
    stampFrame(bytes);
    const frame = { bytes, growthBytes: this.growthBytes, units: this.units, marks: this.#marks };
    this.#end = PAYLOAD_START;
    this.#minute = -1;
    this.growthBytes = 0;
    this.units = 0;
    if (this.#marks.length > 0) {
      this.#marks = [];
    }
    return frame;
  }

  #lease(lease: LeaseRef, kind: number): void {
    this.#makeRoom(lease.fields.length);
    if (lease.segment !== this.#segment) {
      lease.segment = this.#segment;
      lease.number = this.#nextLease++;
      this.growthBytes += lease.fields.length + ENTRY_BYTES;
      this.#define(DEFINE_LEASE, lease.fields);
    }
    this.#end = writeVarint(this.#bytes, this.#end, lease.number * 8 + kind);
  }

  #define(kind: number, fields: Buffer): void {
    this.#end = writeVarint(this.#bytes, this.#end, fields.length * 8 + kind);
    this.#bytes.set(fields, this.#end);
    this.#end += fields.length;
  }

  // Room for a definition, a minute and a record with units and their cost.
  #makeRoom(fieldsBytes: number): void {
    const needed = this.#end + fieldsBytes + 6 * MAX_VARINT_BYTES;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#end);
      this.#bytes = larger;
    }
  }
}
