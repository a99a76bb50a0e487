import { Reader, varintBytes, writeVarint } from "../varint.ts";
import {
  CHARGE,
  CLOSED,
  DEFINE_LEASE,
  DEFINE_SERIES,
  ENDED,
  FORMAT,
  GRANTED,
  MINUTE,
  OLDEST_FORMAT,
  OTHER,
  PRICED,
  RESERVED,
  SPEND,
} from "./record.ts";

/**
 * What a segment's frames add up to. Fed with payloads only, whether they were written a moment ago or are read back
 * after a crash, so that both come to the same batch.
 *
 * The batch is encoded by hand: a series' names are already in protobuf form (see series.ts), which makes an entry a
 * copy and two varints. It is in order of first use, which the frames fix: the same frames give the same bytes.
 */
export class Aggregate {
  // By number in the segment. Two handles of one series have two numbers and share one entry.
  readonly #series: SeriesUse[] = [];
  readonly #leases: LeaseUse[] = [];
  readonly #seriesByName = new Map<string, SeriesUse>();
  readonly #leasesByName = new Map<string, LeaseUse>();
  readonly #reservations: Reserved[] = [];
  #isFinal = false;

  /** Whether it says that the epoch has ended. */
  get isFinal(): boolean {
    return this.#isFinal;
  }

  /** Takes in one frame's payload. Throws RangeError on what no spool wrote. */
  apply(payload: Buffer): void {
    const reader = new Reader(payload, 1);
    const format = payload[0] ?? 0;
    if (format < OLDEST_FORMAT || format > FORMAT) {
      throw new RangeError(`unknown format of a spool's frame: ${format}`);
    }
    let minute = -1;
    while (!reader.isAtEnd) {
      const head = reader.varint();
      const kind = head % 8;
      const value = (head - kind) / 8;
      if (kind === SPEND) {
        known(this.#leases[value]).spent += reader.varint();
      } else if (kind === CHARGE) {
        known(this.#series[value]).charge(minute, reader.varint(), 0);
      } else if (kind === MINUTE) {
        minute = value;
      } else if (kind === DEFINE_SERIES) {
        this.#series.push(entry(this.#seriesByName, reader.take(value), (fields) => new SeriesUse(fields)));
      } else if (kind === DEFINE_LEASE) {
        this.#leases.push(entry(this.#leasesByName, reader.take(value), (fields) => new LeaseUse(fields)));
      } else if (kind === GRANTED || kind === CLOSED) {
        known(this.#leases[value]).isClosed ||= kind === CLOSED;
      } else if (kind === OTHER && value === PRICED) {
        known(this.#series[reader.varint()]).charge(minute, reader.varint(), reader.varint());
      } else if (kind === OTHER && value === ENDED) {
        this.#isFinal = true;
      } else if (kind === OTHER && value === RESERVED) {
        this.#reservations.push(new Reserved(reader.take(reader.varint())));
      } else {
        throw new RangeError(`unknown kind of record in a spool's frame: ${head}`);
      }
    }
  }

  /** Every lease that is mentioned, granted or spent from or closed. */
  leases(): Iterable<{ readonly leaseId: string; readonly isClosed: boolean }> {
    return this.#leasesByName.values();
  }

  /** The UsageBatch as protobuf bytes. */
  encode(): Buffer {
    const usage = [...this.#seriesByName.values()];
    const leases = [...this.#leasesByName.values()].filter(({ spent, isClosed }) => spent > 0 || isClosed);
    const messages = [...usage, ...leases, ...this.#reservations];
    const bytes = messages.reduce((sum, message) => sum + message.byteLength(), 0);
    const batch = Buffer.allocUnsafe(bytes + FINAL.length);
    let at = 0;
    for (const message of messages) {
      at = message.write(batch, at);
    }
    if (this.#isFinal) {
      batch.set(FINAL, at);
      at += FINAL.length;
    }
    return batch.subarray(0, at);
  }
}

/** `final` (field 3 of UsageBatch) is true. */
const FINAL = [3 << 3, 1];

/** One series: a MinuteUsage (field 1 of UsageBatch) for each minute. */
class SeriesUse {
  readonly #fields: Buffer;
  readonly #minutes: number[] = [];
  readonly #units: number[] = [];
  readonly #micros: number[] = [];

  constructor(fields: Buffer) {
    this.#fields = fields;
  }

  charge(minute: number, units: number, micros: number): void {
    // Nearly always the last one.
    let index = this.#minutes.length - 1;
    while (index >= 0 && this.#minutes[index] !== minute) {
      index--;
    }
    if (index < 0) {
      index = this.#minutes.push(minute) - 1;
      this.#units.push(0);
      this.#micros.push(0);
    }
    this.#units[index]! += units;
    this.#micros[index]! += micros;
  }

  byteLength(): number {
    return this.#minutes.reduce((sum, _, index) => {
      const body = this.#bodyBytes(index);
      return sum + 1 + varintBytes(body) + body;
    }, 0);
  }

  write(target: Buffer, start: number): number {
    let at = start;
    for (const [index, minute] of this.#minutes.entries()) {
      target[at++] = (1 << 3) | 2;
      at = writeVarint(target, at, this.#bodyBytes(index));
      target[at++] = 1 << 3;
      at = writeVarint(target, at, minute);
      target.set(this.#fields, at);
      at += this.#fields.length;
      target[at++] = 7 << 3;
      at = writeVarint(target, at, this.#units[index]!);
      const micros = this.#micros[index]!;
      if (micros === 0) continue;
      target[at++] = 8 << 3;
      at = writeVarint(target, at, micros);
    }
    return at;
  }

  #bodyBytes(index: number): number {
    const micros = this.#micros[index]!;
    const cost = micros === 0 ? 0 : 1 + varintBytes(micros);
    return (
      2 + varintBytes(this.#minutes[index]!) + this.#fields.length + varintBytes(this.#units[index]!) + cost
    );
  }
}

/** One lease: a LeaseSpend (field 2 of UsageBatch). */
class LeaseUse {
  readonly #fields: Buffer;
  spent = 0;
  isClosed = false;

  constructor(fields: Buffer) {
    this.#fields = fields;
  }

  get leaseId(): string {
    const reader = new Reader(this.#fields, 1);
    return reader.take(reader.varint()).toString();
  }

  byteLength(): number {
    return 1 + varintBytes(this.#bodyBytes()) + this.#bodyBytes();
  }

  write(target: Buffer, start: number): number {
    let at = start;
    target[at++] = (2 << 3) | 2;
    at = writeVarint(target, at, this.#bodyBytes());
    target.set(this.#fields, at);
    at += this.#fields.length;
    target[at++] = 2 << 3;
    at = writeVarint(target, at, this.spent);
    if (this.isClosed) {
      target[at++] = 3 << 3;
      target[at++] = 1;
    }
    return at;
  }

  #bodyBytes(): number {
    return this.#fields.length + 1 + varintBytes(this.spent) + (this.isClosed ? 2 : 0);
  }
}

/** One reservation (field 4 of UsageBatch). */
class Reserved {
  readonly #fields: Buffer;

  // The payload's buffer is used again for the next turn, hence the copy.
  constructor(fields: Buffer) {
    this.#fields = Buffer.from(fields);
  }

  byteLength(): number {
    return 1 + varintBytes(this.#fields.length) + this.#fields.length;
  }

  write(target: Buffer, start: number): number {
    target[start] = (4 << 3) | 2;
    const at = writeVarint(target, start + 1, this.#fields.length);
    target.set(this.#fields, at);
    return at + this.#fields.length;
  }
}

// The payload's buffer is used again for the next turn, hence the copy of what is new.
function entry<T>(byName: Map<string, T>, fields: Buffer, create: (fields: Buffer) => T): T {
  const name = fields.toString("latin1");
  let found = byName.get(name);
  if (found === undefined) {
    found = create(Buffer.from(fields));
    byName.set(name, found);
  }
  return found;
}

function known<T>(found: T | undefined): T {
  if (found === undefined) {
    throw new RangeError("a record refers to what its segment never defined");
  }
  return found;
}
