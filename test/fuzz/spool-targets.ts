import { strict as assert } from "node:assert";
import { Aggregate } from "../../services/authz/src/spool/aggregate.ts";
import { FRAME_HEADER_BYTES, wholeFrames } from "../../services/authz/src/spool/frame.ts";
import { CLOSED, GRANTED } from "../../services/authz/src/spool/record.ts";
import { aggregateOf } from "../../services/authz/src/spool/recover.ts";
import { LeaseRef, SeriesTable } from "../../services/authz/src/spool/series.ts";
import { Turn } from "../../services/authz/src/spool/turn.ts";
import type { Random } from "./random.ts";

/**
 * A segment's file, damaged anywhere: all whole frames before the first byte that is not as it was written are read, and
 * nothing is that was not written as one frame. (Damage that takes or doubles exactly a whole frame leaves whole frames.)
 */
export function segments(random: Random): void {
  segmentsReadBy(wholeFrames, random);
}

/** The same of another reader. */
export function segmentsReadBy(reader: (bytes: Buffer) => Iterable<Buffer>, random: Random): void {
  const frames = framesOf(random);
  const file = Buffer.concat(frames);
  const damaged = random.mutated(file);
  const read = [...reader(damaged)];
  const written = frames.map((frame) => frame.subarray(FRAME_HEADER_BYTES));
  const intact = wholeBefore(frames, firstDifference(file, damaged));
  assert(read.length >= intact.length, "a whole frame was lost");
  for (const [i, payload] of intact.entries()) assert(read[i]!.equals(payload));
  for (const payload of read) {
    assert(
      written.some((each) => each.equals(payload)),
      "what is no whole frame was taken",
    );
  }
  assert(aggregateOf(read.slice(0, intact.length)).encode().equals(aggregateOf(intact).encode()));
}

/** What a checksum let through though no spool wrote it is refused by a RangeError, and nothing else happens. */
export function spoolPayloads(random: Random): void {
  const [frame] = framesOf(random);
  const payload = random.mutated(Buffer.from(frame!.subarray(FRAME_HEADER_BYTES)));
  if (payload.length === 0) return;
  const aggregate = new Aggregate();
  try {
    aggregate.apply(payload);
  } catch (error) {
    assert(error instanceof RangeError, error as Error);
    return;
  }
  aggregate.encode();
}

/** A few turns as a spool writes them. */
function framesOf(random: Random): Buffer[] {
  const turn = new Turn();
  const table = new SeriesTable();
  const leases = Array.from({ length: 3 }, (_, i) => new LeaseRef(`lea_${i}`));
  const frames: Buffer[] = [];
  for (let turns = 1 + random.below(5); turns > 0; turns--) {
    for (let records = 1 + random.below(6); records > 0; records--) {
      const series = table.get(
        `key_${random.below(3)}`,
        "acc_1",
        "requests",
        random.pick(["", "weather.read"]),
        "VALID",
      );
      const lease = random.pick(leases);
      switch (random.below(4)) {
        case 0:
          turn.spend(lease, 1 + random.below(1000));
          break;
        case 1:
          turn.mark(random.pick([GRANTED, CLOSED]), lease);
          break;
        default:
          turn.charge(series, 29_000_000 + random.below(3), 1 + random.below(2 ** 20));
      }
    }
    frames.push(Buffer.from(turn.take().bytes));
  }
  return frames;
}

function firstDifference(left: Buffer, right: Buffer): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) if (left[at] !== right[at]) return at;
  return left.length === right.length ? Number.POSITIVE_INFINITY : length;
}

function wholeBefore(frames: readonly Buffer[], end: number): Buffer[] {
  let at = 0;
  return frames.flatMap((frame) => {
    at += frame.length;
    return at <= end ? [frame.subarray(FRAME_HEADER_BYTES)] : [];
  });
}
