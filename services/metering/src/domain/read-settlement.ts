import { METER_NAME } from "@gatehouse/access";
import { invalid, type Violation } from "@gatehouse/service/failure";
import { isKnownMeter } from "./known-meter.ts";
import type { Mirror } from "./mirror.ts";
import type { SettlementWish } from "./settle-reservation.ts";

/** What a verifier says that a call cost, as it was sent. */
export interface CommitDraft {
  readonly decisionId: string;
  readonly charges: readonly ChargeDraft[];
}

interface ChargeDraft {
  readonly meter: string;
  readonly units: bigint;
}

/** As many as a Verify charges, and so much of each. */
const MAX_CHARGES = 16;
const MAX_UNITS = 2n ** 48n;

/** Throws Failure INVALID_ARGUMENT naming every bad field. */
export async function readCommit(
  mirror: Pick<Mirror, "hasMeter">,
  { decisionId, charges }: CommitDraft,
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

/** Throws Failure INVALID_ARGUMENT. */
export function readRelease({ decisionId }: { readonly decisionId: string }): SettlementWish {
  const bad = idViolations(decisionId);
  if (bad.length > 0) throw invalid(bad);
  return { kind: "RELEASED" };
}

function idViolations(decisionId: string): Violation[] {
  return decisionId === "" ? [{ field: "decision_id", description: "is required" }] : [];
}

function chargeViolations({ meter, units }: ChargeDraft, isUnknown: boolean, at: string): Violation[] {
  const bad: Violation[] = [];
  if (!METER_NAME.test(meter)) bad.push({ field: `${at}.meter`, description: "must be the name of a meter" });
  else if (isUnknown) bad.push({ field: `${at}.meter`, description: "no such meter" });
  if (units < 0n || units > MAX_UNITS) {
    bad.push({ field: `${at}.units`, description: `must be from 0 to ${MAX_UNITS}` });
  }
  return bad;
}
