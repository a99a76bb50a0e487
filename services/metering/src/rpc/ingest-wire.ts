import { hash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import {
  type AcceptGapRequest,
  type IngestBatchRequest,
  type Reservation,
  type UsageBatch,
  UsageBatchSchema,
  type MinuteUsage as WireUsage,
} from "@gatehouse/proto/metering";
import { invalid, type Violation } from "@gatehouse/service/failure";
import type { Gap } from "../domain/accept-gap.ts";
import { CURRENCY } from "../domain/money.ts";
import { isStorable } from "../domain/storable.ts";
import type { Batch, BatchReservation, ProducerEpoch } from "../domain/usage.ts";

const PRODUCER = /^[A-Za-z0-9._-]{1,100}$/;
const MAX_SEQUENCE = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_UNITS = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_ID_LENGTH = 64;
const MAX_METER_LENGTH = 100;
const MAX_RESOURCE_LENGTH = 256;
/** The year 2200; a clock beyond it is broken. */
const MAX_MINUTE = BigInt(Date.UTC(2200, 0, 1) / 60_000);
/** Bad rows that are named; the rest of the batch is as likely bad. */
const MAX_VIOLATIONS = 20;

/** Throws Failure INVALID_ARGUMENT naming every bad field. */
export function producerEpoch({ producer, epoch }: { producer: string; epoch: bigint }): ProducerEpoch {
  const violations = epochViolations({ producer, epoch });
  if (violations.length > 0) throw invalid(violations);
  return { producer, epoch };
}

/** Throws Failure INVALID_ARGUMENT naming every bad field. */
export function gapOf(request: AcceptGapRequest): { epoch: ProducerEpoch; gap: Gap } {
  const { producer, epoch, sequence, final } = request;
  const violations = epochViolations(request);
  if (!final || sequence !== 0n) violations.push(...sequenceViolations(request));
  if (violations.length > 0) throw invalid(violations);
  return { epoch: { producer, epoch }, gap: { sequence: Number(sequence), final } };
}

/** Throws Failure INVALID_ARGUMENT naming every bad field. */
export function batchOf(request: IngestBatchRequest): Batch {
  const { producer, epoch, sequence, digest, payload } = request;
  const violations = [...epochViolations(request), ...sequenceViolations(request)];
  if (Buffer.compare(hash("sha256", payload, "buffer"), digest) !== 0) {
    violations.push({ field: "digest", description: "must be the SHA-256 of payload" });
  }
  if (violations.length > 0) throw invalid(violations);
  const { usage, leases, reservations, final } = parse(payload);
  const bad = [
    ...usage.flatMap(usageViolations),
    ...leases.flatMap(leaseViolations),
    ...reservations.flatMap(reservationViolations),
  ];
  if (bad.length > 0) throw invalid(bad.slice(0, MAX_VIOLATIONS));
  return {
    producer,
    epoch,
    sequence: Number(sequence),
    digest,
    usage: usage.map((row) => ({ ...row, minute: Number(row.minute) })),
    leases: leases.map(({ leaseId, spent, closed }) => ({ leaseId, spent: Number(spent), closed })),
    reservations: reservations.map(reservationOf),
    final,
  };
}

function epochViolations({ producer, epoch }: { producer: string; epoch: bigint }): Violation[] {
  const violations: Violation[] = [];
  if (!PRODUCER.test(producer)) {
    violations.push({ field: "producer", description: "must be 1 to 100 letters, digits, -, _ and ." });
  }
  if (epoch < 0n) violations.push({ field: "epoch", description: "must be at least 0" });
  return violations;
}

function sequenceViolations({ sequence }: { sequence: bigint }): Violation[] {
  if (sequence >= 1n && sequence <= MAX_SEQUENCE) return [];
  return [{ field: "sequence", description: "must be at least 1" }];
}

function parse(payload: Uint8Array): UsageBatch {
  try {
    return fromBinary(UsageBatchSchema, payload);
  } catch (error) {
    throw invalid([{ field: "payload", description: "must be a UsageBatch" }], error);
  }
}

function usageViolations(row: WireUsage, i: number): Violation[] {
  const { minute, keyId, accountId, meter, resource, outcome, units, cost, priceId, currency } = row;
  const good =
    minute >= 0n &&
    minute <= MAX_MINUTE &&
    isUnits(units) &&
    isStorable(keyId, MAX_ID_LENGTH) &&
    isStorable(accountId, MAX_ID_LENGTH) &&
    isName(meter, MAX_METER_LENGTH) &&
    isStorable(resource, MAX_RESOURCE_LENGTH) &&
    isName(outcome, MAX_ID_LENGTH) &&
    isUnits(cost) &&
    isStorable(priceId, MAX_ID_LENGTH) &&
    (currency === "" ? cost === 0n : CURRENCY.test(currency));
  return good ? [] : [{ field: `payload.usage[${i}]`, description: "has a value out of bounds" }];
}

function leaseViolations({ leaseId, spent }: { leaseId: string; spent: bigint }, i: number): Violation[] {
  if (isName(leaseId, MAX_ID_LENGTH) && isUnits(spent)) return [];
  return [{ field: `payload.leases[${i}]`, description: "has a value out of bounds" }];
}

function reservationViolations(reservation: Reservation, i: number): Violation[] {
  const { decisionId, keyId, parentKeyId, accountId, resource, minute, expiresAtMs } = reservation;
  const good =
    isName(decisionId, MAX_ID_LENGTH) &&
    isName(keyId, MAX_ID_LENGTH) &&
    isStorable(parentKeyId, MAX_ID_LENGTH) &&
    isName(accountId, MAX_ID_LENGTH) &&
    isStorable(resource, MAX_RESOURCE_LENGTH) &&
    minute >= 0n &&
    minute <= MAX_MINUTE &&
    expiresAtMs >= 0n &&
    expiresAtMs <= MAX_MINUTE * 60_000n &&
    reservation.charges.every(({ meter, units }) => isName(meter, MAX_METER_LENGTH) && isUnits(units)) &&
    reservation.draws.every(({ leaseId, units }) => isName(leaseId, MAX_ID_LENGTH) && isUnits(units)) &&
    reservation.costs.every(
      ({ meter, priceId, currency, micros }) =>
        reservation.charges.some((charge) => charge.meter === meter) &&
        isName(priceId, MAX_ID_LENGTH) &&
        CURRENCY.test(currency) &&
        isUnits(micros),
    );
  return good ? [] : [{ field: `payload.reservations[${i}]`, description: "has a value out of bounds" }];
}

function reservationOf(reservation: Reservation): BatchReservation {
  const { decisionId, keyId, parentKeyId, accountId, resource, charges, draws } = reservation;
  return {
    ...{ decisionId, keyId, parentKeyId, accountId, resource },
    minute: Number(reservation.minute),
    expiresAtMs: Number(reservation.expiresAtMs),
    estimate: new Map(charges.map(({ meter, units }) => [meter, Number(units)])),
    draws: draws.map(({ leaseId, units }) => ({ leaseId, units: Number(units) })),
    costs: reservation.costs.map(({ meter, priceId, currency, micros }) => {
      return { meter, priceId, currency, micros: Number(micros) };
    }),
  };
}

function isUnits(units: bigint): boolean {
  return units >= 0n && units <= MAX_UNITS;
}

function isName(text: string, most: number): boolean {
  return text !== "" && isStorable(text, most);
}
