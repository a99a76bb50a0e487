import { hash } from "node:crypto";
import { writeSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { type Reservation, UsageBatchSchema } from "@gatehouse/proto/metering";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { ReservationRecord } from "../domain/journal.ts";
import { Aggregate } from "./aggregate.ts";
import { FRAME_HEADER_BYTES } from "./frame.ts";
import { FORMAT, OLDEST_FORMAT } from "./record.ts";
import { aggregateOf } from "./recover.ts";
import { reservationFields } from "./reservation.ts";
import { LeaseRef, MAX_NAME_BYTES } from "./series.ts";
import type { Spool } from "./spool.ts";
import {
  filesAtDeath,
  openSpool,
  payloadsOf,
  seriesIn,
  temporaryDirectory,
  totalsOf,
  written,
} from "./testing/fixture.ts";
import { Turn } from "./turn.ts";

const name = fc.string({ maxLength: 40, unit: "grapheme" });
const units = fc.integer({ min: 0, max: 2 ** 48 });
const record: fc.Arbitrary<ReservationRecord<LeaseRef>> = fc.record({
  decisionId: name,
  keyId: name,
  parentKeyId: name,
  accountId: name,
  resource: name,
  minute: fc.integer({ min: 0, max: 2 ** 30 }),
  expiresAtMs: fc.maxSafeNat(),
  charges: fc.array(fc.record({ meter: name, units }), { maxLength: 17 }),
  costs: fc.array(fc.record({ meter: name, price: fc.record({ id: name, currency: name }), micros: units }), {
    maxLength: 17,
  }),
  draws: fc.array(fc.record({ lease: name.map((id) => new LeaseRef(id)), units }), { maxLength: 9 }),
});

const estimate: ReservationRecord<LeaseRef> = {
  decisionId: "dec_1",
  keyId: "key_1",
  parentKeyId: "",
  accountId: "acc_1",
  resource: "model.chat",
  minute: 29_000_000,
  expiresAtMs: 1_800_000_000_000,
  charges: [{ meter: "tokens", units: 4096 }],
  costs: [{ meter: "tokens", price: { id: "prc_1", currency: "USD" }, micros: 614 }],
  draws: [{ lease: new LeaseRef("lea_1"), units: 4096 }],
};

/** As the generated decoder reads it. */
function plain({ decisionId, keyId, parentKeyId, accountId, resource, ...rest }: Reservation) {
  return {
    ...{ decisionId, keyId, parentKeyId, accountId, resource },
    minute: Number(rest.minute),
    expiresAtMs: Number(rest.expiresAtMs),
    charges: rest.charges.map(({ meter, units }) => ({ meter, units: Number(units) })),
    costs: rest.costs.map(({ meter, priceId: id, currency, micros }) => ({
      meter,
      price: { id, currency },
      micros: Number(micros),
    })),
    draws: rest.draws.map(({ leaseId, units }) => ({ leaseId, units: Number(units) })),
  };
}

function expected({ draws, ...rest }: ReservationRecord<LeaseRef>) {
  return { ...rest, draws: draws.map(({ lease, units }) => ({ leaseId: lease.leaseId, units })) };
}

const reservationsIn = (payload: Uint8Array) => fromBinary(UsageBatchSchema, payload).reservations.map(plain);

/** One reserved call, as the domain records it. */
function decide(spool: Spool, held: ReservationRecord<LeaseRef>): Promise<void> {
  const { keyId, accountId, resource, minute } = held;
  for (const { meter, units } of held.charges) {
    spool.charge(seriesIn(spool, { keyId, accountId, meter, resource }), minute, units);
  }
  for (const { lease, units } of held.draws) spool.spend(lease, units);
  spool.reserve(held);
  return written(spool);
}

test("any reservations, between any other records, are read by the generated decoder as they were made", () => {
  const turns = fc.array(fc.array(record, { maxLength: 4 }), { maxLength: 4 });
  fc.assert(
    fc.property(turns, (turns) => {
      const [turn, aggregate] = [new Turn(), new Aggregate()];
      turn.beginSegment();
      for (const records of turns) {
        for (const each of records) {
          for (const { lease, units } of each.draws) turn.spend(lease, units);
          turn.reserve(reservationFields(each));
        }
        turn.mark(6, new LeaseRef("lea_closed"));
        aggregate.apply(Buffer.from(turn.take().bytes.subarray(FRAME_HEADER_BYTES)));
      }
      const batch = aggregate.encode();
      expect(reservationsIn(batch)).toEqual(turns.flat().map(expected));
      expect(totalsOf([batch]).closed).toEqual(turns.length === 0 ? [] : ["lea_closed"]);
    }),
  );
});

test("what its process answered survives its death once, in the batch that it would have made", async () => {
  const directory = temporaryDirectory();
  const dead = await openSpool({ directory });
  dead.granted(estimate.draws[0]!.lease);
  await decide(dead, estimate);
  const copy = temporaryDirectory();
  filesAtDeath(directory, copy);
  await dead.seal();
  const next = await openSpool({ directory: copy });
  const [recovered, ...ends] = await payloadsOf(next);
  expect(reservationsIn(recovered!)).toEqual([expected(estimate)]);
  expect(ends.flatMap(reservationsIn)).toEqual([]);
  const [sealed] = await payloadsOf(dead);
  expect(hash("sha256", recovered!)).toBe(hash("sha256", sealed!));
});

test("a turn that could not be written holds nothing", async () => {
  let isFull = true;
  const write = (...frame: Parameters<typeof writeSync>) => (isFull ? 0 : writeSync(...frame));
  const spool = await openSpool({ directory: temporaryDirectory(), write: write as never });
  await expect(decide(spool, estimate)).rejects.toThrow("short write");
  isFull = false;
  await decide(spool, { ...estimate, decisionId: "dec_2" });
  await spool.seal();
  const held = (await payloadsOf(spool)).flatMap(reservationsIn);
  expect(held.map(({ decisionId }) => decisionId)).toEqual(["dec_2"]);
});

test("segments of the format before are still read, and others are refused", () => {
  const turn = new Turn();
  turn.beginSegment();
  turn.spend(new LeaseRef("lea_1"), 3);
  turn.end();
  const payload = Buffer.from(turn.take().bytes.subarray(FRAME_HEADER_BYTES));
  const before = aggregateOf([payload]).encode();
  for (let format = 0; format < 256; format++) {
    payload[0] = format;
    if (format < OLDEST_FORMAT || format > FORMAT) expect(() => aggregateOf([payload])).toThrow("format");
    else expect(aggregateOf([payload]).encode()).toEqual(before);
  }
});

test("names beyond their bound are refused where they are made, and nothing is left of the reservation", async () => {
  const spool = await openSpool({ directory: temporaryDirectory() });
  const long = { ...estimate, resource: "x".repeat(MAX_NAME_BYTES + 1) };
  expect(() => spool.reserve(long)).toThrow(RangeError);
  await spool.seal();
  expect(await payloadsOf(spool)).toEqual([]);
});
