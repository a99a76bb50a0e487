import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Price } from "@gatehouse/buckets";
import {
  type BalanceSchema,
  type PriceSchema,
  type TransactionEntrySchema,
  type TransactionSchema,
  TransactionKind as WireKind,
} from "@gatehouse/proto/metering";
import { available, type TransferKind } from "../domain/money.ts";
import type { Moved } from "../domain/money-loop.ts";
import type { Party, Transaction } from "../domain/movement.ts";
import type { Balance } from "../domain/read-balances.ts";
import type { Entry } from "../domain/read-entries.ts";

/** Money to the messages of the API. */

const KINDS = [
  "TOP_UP",
  "TRANSFER",
  "USAGE",
  "REFUND",
  "ADJUSTMENT",
] as const satisfies readonly TransferKind[];

export function kindOf(wire: WireKind): TransferKind | "UNKNOWN" {
  return KINDS.find((kind) => WireKind[kind] === wire) ?? "UNKNOWN";
}

export function movedMessage({ transaction, freshness }: Moved) {
  return { transaction: transactionMessage(transaction), freshness };
}

export function balanceMessage(balance: Balance, isOfNow = true): MessageInitShape<typeof BalanceSchema> {
  return {
    accountId: balance.accountId,
    currency: balance.currency,
    amount: BigInt(balance.balance),
    leased: BigInt(balance.leased),
    available: isOfNow ? BigInt(available(balance)) : 0n,
    creditLimit: BigInt(balance.creditLimit) + BigInt(balance.creditGiven),
    creditGiven: BigInt(balance.creditGiven),
    usesParentBalance: balance.usesParentBalance,
  };
}

export function entryMessage(entry: Entry): MessageInitShape<typeof TransactionEntrySchema> {
  return {
    id: entry.id,
    at: timestampFromMs(entry.atMs),
    kind: WireKind[entry.kind],
    accountId: entry.accountId,
    currency: entry.currency,
    amount: BigInt(entry.amount),
    balance: BigInt(entry.balance),
    counterpartAccountId: entry.counterpartId,
    reference: entry.reference,
    reason: entry.reason,
    refundOf: entry.refunds,
    actorKeyId: entry.actorKeyId,
  };
}

export function priceMessage(price: Price): MessageInitShape<typeof PriceSchema> {
  return {
    id: price.id,
    meter: price.meter,
    resource: price.resource,
    plan: price.plan,
    accountType: price.accountType,
    currency: price.currency,
    price: BigInt(price.micros),
    perUnits: BigInt(price.perUnits),
    effectiveAt: timestampFromMs(price.effectiveAtMs),
  };
}

function transactionMessage(transaction: Transaction): MessageInitShape<typeof TransactionSchema> {
  const { from, to } = transaction;
  return {
    id: transaction.id,
    at: timestampFromMs(transaction.atMs),
    kind: WireKind[transaction.kind],
    currency: transaction.currency,
    fromAccountId: accountOf(from),
    toAccountId: accountOf(to),
    amount: BigInt(transaction.amount),
    fromBalance: balanceOf(from),
    toBalance: balanceOf(to),
    reference: transaction.reference,
    reason: transaction.reason,
    refundOf: transaction.refunds ?? "",
    actorKeyId: transaction.actorKeyId,
  };
}

function accountOf(party: Party): string {
  return "system" in party ? "" : party.accountId;
}

function balanceOf(party: Party): bigint {
  return "system" in party ? 0n : BigInt(party.balance);
}
