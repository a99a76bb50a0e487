import type { Price } from "@gatehouse/buckets";
import type { Position } from "@gatehouse/changefeed";

/** The node under which the change log says that a price was set. */
export const PRICES_NODE = "@prices";

/** The prices that calls of now, or of later, can be charged. */
export interface PriceBook {
  readonly prices: readonly Price[];
  /** Where metering's log stood when they were read, in the same snapshot. */
  readonly position: Position;
}

export interface PriceBookStore {
  readBook(): Promise<PriceBook>;
}
