import type { ReservationRecord } from "../domain/journal.ts";
import { type LeaseRef, textFields } from "./series.ts";
import { varintBytes, writeVarint } from "./varint.ts";

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
  ]);
}

/** A message in the field `number`: its field 1 is `name`, as it is encoded already, and its field 2 the units. */
function unitsField(number: number, name: Buffer, units: number): Buffer {
  const body = name.length + 1 + varintBytes(units);
  const field = Buffer.allocUnsafe(1 + varintBytes(body) + body);
  field[0] = (number << 3) | 2;
  let at = writeVarint(field, 1, body);
  at += name.copy(field, at);
  field[at++] = 2 << 3;
  writeVarint(field, at, units);
  return field;
}
