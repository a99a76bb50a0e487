import type { FailureInit } from "@gatehouse/service/failure";
import type { Actor } from "./actor.ts";
import type { Micros, SystemWallet, TransferKind } from "./money.ts";

/** What a client calls a request by, and what it asked for. */
export interface RequestName {
  /** The caller's. */
  readonly accountId: string;
  readonly idempotencyKey: string;
  readonly digest: string;
}

/** Money that somebody asks to be moved. */
export interface Movement {
  /** `txn_…`, of its own, used only if it is the one that moves. */
  readonly id: string;
  /** Undefined where the caller gave no idempotency key: then it moves each time. */
  readonly name: RequestName | undefined;
  readonly actor: Actor;
  readonly order: Order;
}

export type Order = Refusal | Move | Refund;

/** Known to be refused before a wallet was looked at. It is remembered under its key all the same. */
export interface Refusal {
  readonly kind: "REFUSED";
  readonly failure: FailureInit;
}

export interface Move {
  readonly kind: Exclude<TransferKind, "USAGE" | "REFUND">;
  readonly organizationId: string;
  readonly currency: string;
  readonly from: Side;
  readonly to: Side;
  readonly amount: Micros;
  readonly reference: string;
  readonly reason: string;
}

/** Takes a transaction of an account back. */
export interface Refund {
  readonly kind: "REFUND";
  readonly accountId: string;
  readonly transactionId: string;
  /** Signed, as the account sees it; 0 for all of it. */
  readonly amount: Micros;
  readonly reason: string;
}

/** `isClosed`: the account, or one above it. */
export type Side =
  | { readonly accountId: string; readonly isClosed?: boolean }
  | { readonly system: SystemWallet };

/** A row of the ledger. */
export interface Transaction {
  readonly id: string;
  readonly atMs: number;
  readonly kind: TransferKind;
  readonly organizationId: string;
  readonly currency: string;
  readonly from: Party;
  readonly to: Party;
  readonly amount: Micros;
  readonly reference: string;
  readonly reason: string;
  readonly refunds: string | undefined;
  /** Empty for usage. */
  readonly actorKeyId: string;
}

export type Party =
  | { readonly system: SystemWallet }
  | {
      readonly walletId: string;
      readonly accountId: string;
      /** After the transaction. */
      readonly balance: Micros;
    };

/** A wallet as its row says. */
export interface Wallet {
  readonly id: string;
  readonly accountId: string;
  readonly currency: string;
  readonly balance: Micros;
  readonly leased: Micros;
  readonly creditLimit: Micros;
  readonly movedAtMs: number;
}

export interface WalletName {
  readonly accountId: string;
  readonly currency: string;
}

export function nameOfWallet({ accountId, currency }: WalletName): string {
  return `${accountId} ${currency}`;
}
