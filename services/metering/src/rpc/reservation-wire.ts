import type { Charged, Units } from "../domain/reservation.ts";

/** What settled reservations cost, as messages of the API. */

export function chargesOf(units: Units): { meter: string; units: bigint }[] {
  return [...units].map(([meter, units]) => ({ meter, units: BigInt(units) }));
}

export function costsOf(charged: Charged): { currency: string; micros: bigint }[] {
  return [...charged].sort().map(([currency, micros]) => ({ currency, micros: BigInt(micros) }));
}
