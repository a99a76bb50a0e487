/** A figure that is not what it is made of. */
export interface Difference {
  readonly what: /** A wallet's balance is not what its rows in the ledger add up to. */
    | "BALANCE"
    /** Nor what its latest row says it is. */
    | "RUNNING_BALANCE"
    /** What a wallet moved in an hour is not what its rows of that hour add up to. */
    | "WALLET_HOUR"
    /** What is lent of a wallet is not what its open leases hold. */
    | "WALLET_LEASED"
    /** The same of a quota's bucket. */
    | "QUOTA_LEASED"
    /** A row of the ledger has a side that is neither a wallet nor the provider's. */
    | "LOST_SIDE"
    /** A quarter's units or cost are not those of its minutes. */
    | "QUARTER"
    /** What an account used in a quarter, as its hour says it, is not what its quarters add up to. */
    | "ACCOUNT_QUARTER";
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
  /** Where the slice ends that begins after a place, or at the beginning; undefined for the last one. */
  end(after: string | undefined): Promise<string | undefined>;
  /** What is after a place, up to that end. */
  audit(after: string | undefined, end: string | undefined): Promise<Audit>;
}

/** Goes through books for ever, a slice each time it is asked: what it costs does not grow with them. */
export class AuditWalk {
  readonly #books: readonly Book[];
  #book = 0;
  #after: string | undefined;

  constructor(books: readonly Book[]) {
    this.#books = books;
  }

  /** Rejects where a slice cannot be looked at: it is passed by until the next round. */
  async step(): Promise<Audit> {
    const [at, after] = [this.#book, this.#after];
    const book = this.#books[at]!;
    // On to what is next before this one can fail: else it would hold up all others for ever.
    this.#book = (at + 1) % this.#books.length;
    this.#after = undefined;
    try {
      const end = await book.end(after);
      if (end !== undefined) [this.#book, this.#after] = [at, end];
      return await book.audit(after, end);
    } catch (error) {
      throw new Error(`${book.name} after ${after ?? "the beginning"} were not looked at`, { cause: error });
    }
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
      const end = await book.end(after);
      const slice = await book.audit(after, end);
      looked += slice.looked;
      differences += slice.differences.length;
      for (const difference of slice.differences) onDifference(difference);
      after = end;
    } while (after !== undefined);
  }
  return { looked, differences };
}
