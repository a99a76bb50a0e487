import { METER_NAME } from "@gatehouse/access";
import type { CommitReservationRequest, ReservedCharge } from "@gatehouse/proto/metering";
import { invalid, type Violation } from "@gatehouse/service/failure";
import { isKnownMeter } from "../domain/known-meter.ts";
import type { Mirror } from "../domain/mirror.ts";
import type { Charged, Units } from "../domain/reservation.ts";
import type { SettlementWish } from "../domain/settle-reservation.ts";

/** As many as a Verify charges, and so much of each. */
const MAX_CHARGES = 16;
const MAX_UNITS = 2n ** 48n;

/** What a commit says. Throws Failure INVALID_ARGUMENT naming every bad field. */
export async function commitOf(
  mirror: Pick<Mirror, "hasMeter">,
  { decisionId, charges }: CommitReservationRequest,
): Promise<SettlementWish> {
  const bad = idViolations(decisionId);
  if (charges.length > MAX_CHARGES) {
    bad.push({ field: "charges", description: `has more than ${MAX_CHARGES} entries` });
  }
  const read = charges.slice(0, MAX_CHARGES);
  const cost = new Map(read.map(({ meter, units }) => [meter, Number(units)]));
  if (cost.size < read.length) bad.push({ field: "charges", description: "names a meter twice" });
  const unknown = await Promise.all(read.map(async ({ meter }) => !(await isKnownMeter(mirror, meter))));
  bad.push(...read.flatMap((charge, i) => chargeViolations(charge, unknown[i]!, `charges[${i}]`)));
  if (bad.length > 0) throw invalid(bad);
  return { kind: "COMMITTED", cost };
}

/** What a release says. Throws Failure INVALID_ARGUMENT. */
export function releaseOf({ decisionId }: { readonly decisionId: string }): SettlementWish {
  const bad = idViolations(decisionId);
  if (bad.length > 0) throw invalid(bad);
  return { kind: "RELEASED" };
}

export function chargesOf(units: Units): { meter: string; units: bigint }[] {
  return [...units].map(([meter, units]) => ({ meter, units: BigInt(units) }));
}

export function costsOf(charged: Charged): { currency: string; micros: bigint }[] {
  return [...charged].sort().map(([currency, micros]) => ({ currency, micros: BigInt(micros) }));
}

function idViolations(decisionId: string): Violation[] {
  return decisionId === "" ? [{ field: "decision_id", description: "is required" }] : [];
}

function chargeViolations({ meter, units }: ReservedCharge, isUnknown: boolean, at: string): Violation[] {
  const bad: Violation[] = [];
  if (!METER_NAME.test(meter)) bad.push({ field: `${at}.meter`, description: "must be the name of a meter" });
  else if (isUnknown) bad.push({ field: `${at}.meter`, description: "no such meter" });
  if (units < 0n || units > MAX_UNITS) {
    bad.push({ field: `${at}.units`, description: `must be from 0 to ${MAX_UNITS}` });
  }
  return bad;
}
