import type { HeldCost } from "./reservation.ts";

/** Units used in one minute by one series. */
export interface MinuteUsage {
  /** Unix time of the minute's start, in minutes. */
  readonly minute: number;
  readonly keyId: string;
  /** The account acted on; empty for calls whose key is of no account. */
  readonly accountId: string;
  readonly meter: string;
  readonly resource: string;
  /** A decision's code without its prefix. */
  readonly outcome: string;
  readonly units: bigint;
  /** What they cost, in micros. */
  readonly cost: bigint;
  /** What that is in; empty where they are free. Units of different currencies are counted apart. */
  readonly currency: string;
}

/** What was spent from a quota lease since the batch before. */
export interface LeaseSpend {
  readonly leaseId: string;
  readonly spent: number;
  /** What was never spent goes back. */
  readonly closed: boolean;
}

/** An estimate that a batch says is held. */
export interface BatchReservation {
  readonly decisionId: string;
  readonly expiresAtMs: number;
  readonly keyId: string;
  /** Empty for none. */
  readonly parentKeyId: string;
  readonly accountId: string;
  readonly resource: string;
  readonly minute: number;
  readonly estimate: ReadonlyMap<string, number>;
  /** What of it has a price. */
  readonly costs: readonly HeldCost[];
  /** What was taken of leases of quotas and wallets for it. */
  readonly draws: readonly { readonly leaseId: string; readonly units: number }[];
}

/** One start of a producer. */
export interface ProducerEpoch {
  readonly producer: string;
  readonly epoch: bigint;
}

/** The name under which an epoch holds leases. */
export function holderOf({ producer, epoch }: ProducerEpoch): string {
  return `${producer}/${epoch}`;
}

/** A sealed segment. */
export interface Batch extends ProducerEpoch {
  readonly sequence: number;
  /** SHA-256 of what was sent. */
  readonly digest: Uint8Array;
  readonly usage: readonly MinuteUsage[];
  readonly leases: readonly LeaseSpend[];
  readonly reservations: readonly BatchReservation[];
  /** The epoch has ended: what it holds still is closed, and it acquires no more. */
  readonly final: boolean;
}

/** The outcome whose units were charged; rows of the others count refused calls. */
export const CHARGED = "VALID";
