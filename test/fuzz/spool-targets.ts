import { strict as assert } from "node:assert";
import { hash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { IngestBatchRequestSchema } from "@gatehouse/proto/metering";
import { Failure } from "@gatehouse/service";
import { Aggregate } from "../../services/authz/src/spool/aggregate.ts";
import { FRAME_HEADER_BYTES, wholeFrames } from "../../services/authz/src/spool/frame.ts";
import { CLOSED, GRANTED } from "../../services/authz/src/spool/record.ts";
import { aggregateOf } from "../../services/authz/src/spool/recover.ts";
import { reservationFields } from "../../services/authz/src/spool/reservation.ts";
import { LeaseRef, SeriesTable } from "../../services/authz/src/spool/series.ts";
import { Turn } from "../../services/authz/src/spool/turn.ts";
import { batchOf } from "../../services/metering/src/rpc/ingest-wire.ts";
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

/** metering reads every batch that a spool seals; a damaged one it reads or refuses, naming what is bad. */
export function batches(random: Random): void {
  const frames = framesOf(random).map((frame) => frame.subarray(FRAME_HEADER_BYTES));
  const sealed = aggregateOf(frames).encode();
  const sent = (payload: Uint8Array) =>
    batchOf(
      create(IngestBatchRequestSchema, {
        producer: "authz-1",
        epoch: 1n,
        sequence: 1n,
        digest: hash("sha256", payload, "buffer"),
        payload,
      }),
    );
  assert(sent(sealed).usage.every(({ minute }) => minute >= FIRST_MINUTE));
  try {
    const read = sent(random.mutated(Buffer.from(sealed)));
    for (const { leaseId, spent } of read.leases) assert(leaseId !== "" && Number.isSafeInteger(spent));
  } catch (error) {
    assert(error instanceof Failure && error.code === "INVALID_ARGUMENT", error as Error);
    assert(error.violations.length > 0 && error.violations.every(({ field }) => field !== ""));
  }
}

const FIRST_MINUTE = 29_000_000;
const PRICE = { id: "prc_1", currency: "USD" };

/** A few turns as a spool writes them: charges with a price and without, spends, grants, closes and reservations. */
function framesOf(random: Random): Buffer[] {
  const turn = new Turn();
  const table = new SeriesTable();
  const leases = Array.from({ length: 3 }, (_, i) => new LeaseRef(`lea_${i}`));
  const frames: Buffer[] = [];
  for (let turns = 1 + random.below(5); turns > 0; turns--) {
    for (let records = 1 + random.below(6); records > 0; records--) {
      const price = random.pick([undefined, PRICE]);
      const series = table.get({
        keyId: `key_${random.below(3)}`,
        accountId: "acc_1",
        meter: "requests",
        resource: random.pick(["", "weather.read"]),
        outcome: "VALID",
        price,
      });
      const lease = random.pick(leases);
      const minute = FIRST_MINUTE + random.below(3);
      const units = 1 + random.below(1000);
      switch (random.below(5)) {
        case 0:
          turn.spend(lease, units);
          break;
        case 1:
          turn.mark(random.pick([GRANTED, CLOSED]), lease);
          break;
        case 2:
          turn.reserve(
            reservationFields({
              ...{
                decisionId: `dec_${random.below(100)}`,
                keyId: "key_1",
                parentKeyId: "",
                accountId: "acc_1",
              },
              ...{ resource: "weather.read", minute, expiresAtMs: minute * 60_000 + random.below(60_000) },
              charges: [{ meter: "requests", units }],
              costs: random.pick([[], [{ meter: "requests", price: PRICE, micros: random.below(1000) }]]),
              draws: random.pick([[], [{ lease, units }]]),
            }),
          );
          break;
        default:
          turn.charge(
            series,
            minute,
            1 + random.below(2 ** 20),
            price === undefined ? 0 : random.below(1000),
          );
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
