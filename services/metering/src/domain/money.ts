/** Millionths of a currency or unit: a safe integer. */
export type Micros = number & { readonly __micros: true };

export const NOTHING = 0 as Micros;

/** Balances, amounts and what they add up to stay within this. */
export const MOST_MICROS = Number.MAX_SAFE_INTEGER as Micros;

/** 1 to 20 of these; the case counts. */
export const CURRENCY = /^[A-Za-z0-9_-]{1,20}$/;

/** The provider's side of the ledger: where money comes from, what is earned, and what is put right. */
export type SystemWallet = "EXTERNAL" | "REVENUE" | "ADJUSTMENT";

export type TransferKind = "TOP_UP" | "TRANSFER" | "USAGE" | "REFUND" | "ADJUSTMENT";

/** The checked number as money. Throws RangeError: a fraction here is a bug, not bad input. */
export function micros(value: number | bigint): Micros {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError(`${value} is no number of micros`);
  return number as Micros;
}

/** What may still be spent or lent, as far as it can be counted. Below zero after late usage or a lowered credit limit. */
export function available(wallet: {
  readonly balance: Micros;
  readonly creditLimit: Micros;
  readonly leased: Micros;
}): Micros {
  // A balance and a credit limit of the most together are no safe integer, nor is the least balance less what is lent.
  const exact = BigInt(wallet.balance) + BigInt(wallet.creditLimit) - BigInt(wallet.leased);
  if (exact > MOST_MICROS) return MOST_MICROS;
  return exact < -MOST_MICROS ? (-MOST_MICROS as Micros) : micros(exact);
}
