/** A figure that is not what it is made of. */
export interface Difference {
  readonly what: /** A wallet's balance is not what its rows in the ledger add up to. */
    | "BALANCE"
    /** Nor what its latest row says it is. */
    | "RUNNING_BALANCE"
    /** What is lent of a wallet is not what its open leases hold. */
    | "WALLET_LEASED"
    /** The same of a quota's bucket. */
    | "QUOTA_LEASED"
    /** A row of the ledger has a side that is neither a wallet nor the provider's. */
    | "LOST_SIDE"
    /** A quarter's units or cost are not those of its minutes. */
    | "QUARTER";
  /** Of the wallet, the bucket, the transaction or the series. */
  readonly of: string;
  readonly is: string;
  readonly shouldBe: string;
}

/** Differences found, and how much was looked at. */
export interface Audit {
  readonly looked: number;
  readonly differences: readonly Difference[];
}

/** Something that is looked at a slice at a time: each is of one snapshot, so that what goes on meanwhile is no difference. */
export interface Book {
  readonly name: string;
  /** The slice after a place; the first where it is undefined. `next` is undefined after the last one. */
  audit(after: string | undefined): Promise<Audit & { readonly next: string | undefined }>;
}

/** Goes through books for ever, a slice each time it is asked: what it costs does not grow with them. */
export class AuditWalk {
  readonly #books: readonly Book[];
  #book = 0;
  #after: string | undefined;

  constructor(books: readonly Book[]) {
    this.#books = books;
  }

  async step(): Promise<Audit> {
    const slice = await this.#books[this.#book]!.audit(this.#after);
    this.#after = slice.next;
    if (slice.next === undefined) this.#book = (this.#book + 1) % this.#books.length;
    return slice;
  }
}

/** Looks at all of some books, and tells of what differs as it is found. */
export async function auditBooks(
  books: readonly Book[],
  onDifference: (difference: Difference) => void,
  signal?: AbortSignal,
): Promise<{ looked: number; differences: number }> {
  let [looked, differences] = [0, 0];
  for (const book of books) {
    let after: string | undefined;
    do {
      if (signal?.aborted) return { looked, differences };
      const slice = await book.audit(after);
      looked += slice.looked;
      differences += slice.differences.length;
      for (const difference of slice.differences) onDifference(difference);
      after = slice.next;
    } while (after !== undefined);
  }
  return { looked, differences };
}
