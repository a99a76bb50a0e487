import type { Position, Replica } from "@gatehouse/changefeed";
import type { LimitBook, LimitChange } from "./limit-book.ts";
import { PRICES_NODE, type PriceBook } from "./price-book.ts";

/** All that authz keeps of metering, moved along its log together. */
export class MeteringReplica implements Replica<LimitChange> {
  readonly #book: LimitBook;
  readonly #prices: PriceBook;

  constructor(book: LimitBook, prices: PriceBook) {
    this.#book = book;
    this.#prices = prices;
  }

  position(): Position | undefined {
    return this.#book.position();
  }

  apply(after: Position, changes: readonly LimitChange[]): Position {
    for (const { revision, nodeId } of changes) if (nodeId === PRICES_NODE) this.#prices.apply(revision);
    return this.#book.apply(after, changes);
  }

  restart(head: Position): Position {
    this.#prices.restart(head);
    return this.#book.restart(head);
  }

  /** A bell. */
  doubt(nodeIds: readonly string[]): void {
    if (nodeIds.includes(PRICES_NODE)) this.#prices.doubt();
    this.#book.doubt(nodeIds);
  }
}
