/** What metering holds, as identity asks for it before it closes an account. */
export interface Holdings {
  /**
   * The first of what is held for an account and all below it; none where nothing is.
   * Throws Failure SOURCE_UNAVAILABLE where that cannot be known now.
   */
  of(accountId: string): Promise<readonly Holding[]>;
  /**
   * Moves the money of an account and all below it to another, on behalf of a key.
   * Throws Failure SOURCE_UNAVAILABLE where that could not be done now, and what metering refuses it with.
   */
  move(accountId: string, toAccountId: string, actorKeyId: string): Promise<void>;
}

/** Money, in a currency or unit, or a reservation, which has a decision. */
export interface Holding {
  readonly accountId: string;
  readonly currency: string | undefined;
  /** Millionths of the currency, or the units reserved. */
  readonly amount: bigint;
  readonly decisionId: string | undefined;
}
