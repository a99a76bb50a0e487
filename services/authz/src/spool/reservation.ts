import type { ReservationRecord } from "../domain/journal.ts";
import { varintBytes, writeVarint } from "../varint.ts";
import { type LeaseRef, textFields } from "./series.ts";

/**
 * The fields of the protobuf message that a reservation ends in (Reservation): like a series' names, these bytes are
 * both the record in the segment and a part of the batch. Throws RangeError for names beyond their bound.
 */
export function reservationFields(record: ReservationRecord<LeaseRef>): Buffer {
  const { decisionId, keyId, parentKeyId, accountId, resource, minute, expiresAtMs } = record;
  const times = Buffer.allocUnsafe(2 + varintBytes(minute) + varintBytes(expiresAtMs));
  times[0] = 6 << 3;
  const at = writeVarint(times, 1, minute);
  times[at] = 7 << 3;
  writeVarint(times, at + 1, expiresAtMs);
  return Buffer.concat([
    textFields([decisionId, keyId, parentKeyId, accountId, resource], 1),
    times,
    ...record.charges.map(({ meter, units }) => unitsField(8, textFields([meter], 1), units)),
    ...record.draws.map(({ lease, units }) => unitsField(9, lease.fields, units)),
    ...record.costs.map(({ meter, price, micros }) => {
      return unitsField(10, textFields([meter, price.id, price.currency], 1), micros, 4);
    }),
  ]);
}

/** A message in the field `number`: `names` are fields of it, encoded already; the units follow. */
function unitsField(number: number, names: Buffer, units: number, unitsNumber = 2): Buffer {
  const body = names.length + 1 + varintBytes(units);
  const field = Buffer.allocUnsafe(1 + varintBytes(body) + body);
  field[0] = (number << 3) | 2;
  let at = writeVarint(field, 1, body);
  at += names.copy(field, at);
  field[at++] = unitsNumber << 3;
  writeVarint(field, at, units);
  return field;
}
