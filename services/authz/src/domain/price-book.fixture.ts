import type { Price } from "@gatehouse/buckets";
import type { Position } from "@gatehouse/changefeed";
import { PriceBook, type Prices } from "./price-book.ts";

const START: Position = { incarnation: "one", revision: 1 };

/** Everything is free. */
export const FREE: Prices = {
  edition: 0,
  isUsable: () => true,
  inForce: () => ({ price: undefined, untilMs: Number.POSITIVE_INFINITY }),
  fill: async () => {},
};

/** A price book that has been read. */
export async function pricesOf(prices: readonly Partial<Price>[]): Promise<PriceBook> {
  const list = { position: START, prices: prices.map(priceOf) };
  const book = new PriceBook(async () => list);
  book.restart(START);
  await book.fill(() => 0);
  return book;
}

/** One micro of USD for a request, but for what is said. */
export function priceOf(price: Partial<Price>): Price {
  return {
    id: "prc_1",
    meter: "requests",
    resource: "",
    plan: "",
    accountType: "",
    currency: "USD",
    micros: 1,
    perUnits: 1,
    effectiveAtMs: 0,
    ...price,
  };
}
