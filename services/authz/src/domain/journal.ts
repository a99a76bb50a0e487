/** A price, by what usage says of it. */
export interface PriceName {
  readonly id: string;
  readonly currency: string;
}

/** What is counted together: with a price for what is charged by that. */
export interface SeriesName {
  readonly keyId: string;
  readonly accountId: string;
  readonly meter: string;
  readonly resource: string;
  /** A decision code. */
  readonly outcome: string;
  readonly price?: PriceName | undefined;
}

/** An estimate that is held. */
export interface ReservationRecord<LeaseRef> {
  readonly decisionId: string;
  readonly keyId: string;
  /** Empty for none. */
  readonly parentKeyId: string;
  readonly accountId: string;
  readonly resource: string;
  /** The one that the charges are in. */
  readonly minute: number;
  readonly expiresAtMs: number;
  readonly charges: readonly { readonly meter: string; readonly units: number }[];
  /** What those cost that have a price. */
  readonly costs: readonly { readonly meter: string; readonly price: PriceName; readonly micros: number }[];
  /** What was spent of leases that have a handle. */
  readonly draws: readonly { readonly lease: LeaseRef; readonly units: number }[];
}

/** Who waits to know whether something is recorded: told that it may not be known for long. */
export interface Waiting {
  late(error: Error): void;
}

/**
 * What the domain asks of the spool: to record what a decision charged. The records of one decision are made
 * in one stretch of code and end with `whenWritten`; nothing is answered VALID before it calls back.
 */
export interface Journal<Series = object, LeaseRef = object> {
  /** A handle for what is counted together. */
  series(name: SeriesName): Series;
  /** A handle for a lease. */
  lease(leaseId: string): LeaseRef;
  /** The lease is held here: after a crash it can still be closed. */
  granted(lease: LeaseRef): void;
  /** `micros` is what the units cost, in the currency of the series' price. */
  charge(series: Series, minute: number, units: number, micros?: number): void;
  spend(lease: LeaseRef, units: number): void;
  /** The decision holds what it has charged: once it is known what it cost, that is settled. */
  reserve(record: ReservationRecord<LeaseRef>): void;
  /** Nothing will be spent from the lease any more: what was not goes back. */
  close(lease: LeaseRef): void;
  /** Counts a denial, in memory. */
  denied(series: Series): void;
  /**
   * Calls back once, after the write and never at once; with an error, nothing of the decision was recorded. Where that
   * takes too long to be waited for, `waiting` is told before.
   */
  whenWritten(callback: (error?: Error) => void, waiting?: Waiting): void;
}
