import { costOf, type Price, type PricedUse, payerOf } from "@gatehouse/buckets";
import type { AccountEntry } from "./entry.ts";
import type { Need } from "./lease-source.ts";
import type { NodeLimits } from "./limit-book.ts";
import type { Carry, LocalBucket } from "./local-bucket.ts";
import type { Prices } from "./price-book.ts";

/**
 * What calls cost. A path's tolls are worked out with its plan: which price is in force for each need, and the wallet of
 * its payer. A call then reckons what it owes, in whole micros, with what the calls before it left of a micro; it owes
 * that to the wallet like units to any bucket.
 */
export interface Tolls {
  readonly items: readonly Toll[];
  /** What is drawn of each wallet: the plan's own, set anew for each call. */
  readonly dues: readonly WalletDue[];
  /** Some of it is in a currency that the payer has no wallet of. */
  readonly isUnpayable: boolean;
}

/** What prices hang on, besides meter, resource and time. */
export type PriceTerms = Pick<PricedUse, "accountType" | "plan">;

/** The toll of one need. */
interface Toll {
  /** Its place among the call's needs. */
  readonly need: number;
  readonly price: Price;
  /** Undefined where there is no wallet. */
  readonly due: WalletDue | undefined;
  readonly carry: Carry | undefined;
  /** What the call that is looked at costs, and the carry after it. */
  micros: number;
  parts: number;
}

/** What a call draws on a wallet. */
export interface WalletDue {
  readonly bucket: LocalBucket;
  units: number;
}

/** What a need of a charged call cost. */
export interface Payment {
  /** Its place among the call's needs. */
  readonly need: number;
  readonly price: Price;
  readonly micros: number;
  readonly carry: Carry;
  /** By how much the call changed it. */
  readonly parts: number;
}

/** Above it nothing can be written down; nobody has that much: 281 million of a currency. */
export const MAX_MICROS = 2 ** 48;

/** Those of calls on an account: its own type, and the plan of its organization. */
export function termsOf(target: readonly AccountEntry[]): PriceTerms {
  return { accountType: target[0]!.type, plan: planOf(target) };
}

/** Whether they are still those; an account changes in place. */
export function isPricedFor({ accountType, plan }: PriceTerms, target: readonly AccountEntry[]): boolean {
  return accountType === target[0]!.type && plan === planOf(target);
}

/**
 * What calls of these needs are charged, undefined where they are free, and until when. `accounts` are those of the
 * account acted on and its ancestors, root last.
 */
export function tollsOf(
  accounts: readonly NodeLimits[],
  resource: string,
  terms: PriceTerms,
  needs: readonly Need[],
  prices: Prices,
  nowMs: number,
): { readonly tolls: Tolls | undefined; readonly untilMs: number } {
  let untilMs = Number.POSITIVE_INFINITY;
  const priced: [need: number, price: Price][] = [];
  for (const [i, { meter, units }] of needs.entries()) {
    const found = prices.inForce({ meter, resource, ...terms }, nowMs);
    untilMs = Math.min(untilMs, found.untilMs);
    const { price } = found;
    if (price !== undefined && price.micros > 0 && units > 0) priced.push([i, price]);
  }
  const payer = payerOf(accounts);
  if (payer === undefined || priced.length === 0) return { tolls: undefined, untilMs };
  const dues = new Map<string, WalletDue>();
  const items = priced.map(([need, price]): Toll => {
    const bucket = payer.wallets.find(({ limit }) => limit.currency === price.currency);
    const due = bucket && (dues.get(price.currency) ?? { bucket, units: 0 });
    if (due !== undefined) dues.set(price.currency, due);
    return { need, price, due, carry: bucket?.carryOf(price.id), micros: 0, parts: 0 };
  });
  const isUnpayable = items.some(({ due }) => due === undefined);
  return { tolls: { items, dues: [...dues.values()], isUnpayable }, untilMs };
}

function planOf(target: readonly AccountEntry[]): string {
  return target.length < 2 ? "" : target[target.length - 2]!.plan;
}

/** Says what a call of these needs owes now. False: more than anybody can owe. */
export function reckon({ items, dues }: Tolls, needs: readonly Need[]): boolean {
  for (const due of dues) due.units = 0;
  for (const toll of items) {
    const { price, carry, due } = toll;
    if (due === undefined || carry === undefined) continue;
    reckonOne(toll, needs[toll.need]!.units, price, carry.parts);
    due.units += toll.micros;
  }
  return dues.every(({ units }) => units <= MAX_MICROS);
}

/** Books what was reckoned last as owed. */
export function pay({ items }: Tolls): Payment[] {
  return items.map(({ need, price, carry, micros, parts }) => {
    const change = parts - carry!.parts;
    carry!.parts = parts;
    return { need, price, micros, carry: carry!, parts: change };
  });
}

/** Takes back what a call left of a micro, when it is not charged after all. */
export function refund(payments: readonly Payment[]): void {
  for (const { carry, parts } of payments) carry.parts -= parts;
}

// A carry is below zero where a call that had left a part of a micro was taken back after the next had used it.
function reckonOne(toll: Toll, units: number, price: Price, carryParts: number): void {
  const borrowed = carryParts < 0 ? Math.ceil(-carryParts / price.perUnits) : 0;
  const cost = costOf(units, price, carryParts + borrowed * price.perUnits);
  const uncovered = Math.max(borrowed - cost.micros, 0);
  toll.micros = cost.micros - borrowed + uncovered;
  toll.parts = cost.carryParts - uncovered * price.perUnits;
}
