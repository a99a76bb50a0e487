import { type FailureInit, failedPrecondition, invalid, notFound } from "@gatehouse/service/failure";
import { type Micros, MOST_MICROS, micros } from "./money.ts";
import {
  type Move,
  type Movement,
  nameOfWallet,
  type Party,
  type Refund,
  type Side,
  type Transaction,
  type Wallet,
  type WalletName,
} from "./movement.ts";

/** What movements are judged by: wallets, and what they take back. */
export interface Books {
  readonly nowMs: number;
  /** By name; one that is not there is empty, and is opened by what it receives. */
  readonly wallets: ReadonlyMap<string, Wallet>;
  /** Transactions that are to be taken back, by id. */
  readonly originals: ReadonlyMap<string, Transaction>;
  /** Ids of those that have been. */
  readonly refunded: ReadonlySet<string>;
  /** Of those that refunds would pay, the accounts that are closed, by id. A move says so itself. */
  readonly closed: ReadonlySet<string>;
}

/** What becomes of a movement. */
export type Posting =
  | { readonly kind: "DONE"; readonly transaction: Transaction }
  | { readonly kind: "REFUSED"; readonly failure: FailureInit }
  /** The wallet has as much, but holders have of it in hand. */
  | { readonly kind: "WAIT"; readonly walletId: string };

export interface Posted {
  /** By movement, in order. */
  readonly postings: readonly Posting[];
  /** Wallets as they are afterwards, those that moved. */
  readonly moved: readonly Wallet[];
}

/** The wallet, or the wallets, that a movement is about. */
export function walletsOf({ order }: Movement, originals: Books["originals"]): WalletName[] {
  if (order.kind === "REFUSED") return [];
  if (order.kind === "REFUND") {
    const original = originals.get(order.transactionId);
    if (original === undefined) return [];
    const { currency } = original;
    return [original.from, original.to].flatMap((party) =>
      "system" in party ? [] : [{ accountId: party.accountId, currency }],
    );
  }
  const { currency } = order;
  return [order.from, order.to].flatMap((side) =>
    "system" in side ? [] : [{ accountId: side.accountId, currency }],
  );
}

/**
 * Judges movements one after another, each by what those before it left. Pure: the same movements and books, the same
 * answer.
 *
 * A movement that waits keeps its claim: what it needs of the wallet is not there for later ones, which wait too
 * where they need it. So a large transfer is not passed by for ever by small ones.
 */
export function postMovements(movements: readonly Movement[], books: Books): Posted {
  const posting = new PostingRound(books);
  const postings = movements.map((movement) => posting.post(movement));
  return { postings, moved: posting.moved };
}

/** What a movement needs to be told apart from one that is refused for good. */
type Flow = Omit<Transaction, "id" | "from" | "to" | "atMs" | "actorKeyId"> & {
  readonly from: Side;
  readonly to: Side;
  /** The provider's word: the giver's balance may go below its credit limit. */
  readonly overdraws: boolean;
};

class PostingRound {
  readonly #books: Books;
  readonly #wallets: Map<string, Wallet>;
  readonly #moved = new Set<string>();
  readonly #refunded: Set<string>;
  /** What waiting movements claim, by wallet's name. */
  readonly #claimed = new Map<string, number>();

  constructor(books: Books) {
    this.#books = books;
    this.#wallets = new Map(books.wallets);
    this.#refunded = new Set(books.refunded);
  }

  get moved(): Wallet[] {
    return [...this.#moved].map((name) => this.#wallets.get(name)!);
  }

  post({ id, order, actor }: Movement): Posting {
    if (order.kind === "REFUSED") return order;
    const flow = order.kind === "REFUND" ? this.#reversal(order) : flowOf(order);
    if ("failure" in flow) return { kind: "REFUSED", failure: flow.failure };
    const refusal = this.#refusalOf(flow);
    if (refusal !== undefined) return refusal;
    if (flow.refunds !== undefined) this.#refunded.add(flow.refunds);
    return { kind: "DONE", transaction: this.#move(id, flow, actor.keyId) };
  }

  #reversal({ accountId, transactionId, amount, reason }: Refund): Flow | { failure: FailureInit } {
    const original = this.#books.originals.get(transactionId);
    const { from, to } = original ?? {};
    const gave = isOf(from, accountId);
    // Not of the account: for the caller's purpose there is none.
    if (original === undefined || !(gave || isOf(to, accountId))) return { failure: notFound("transaction") };
    if (original.kind === "REFUND") {
      return { failure: failedPrecondition("FINAL_STATE", "a refund is not taken back; adjust instead") };
    }
    if (this.#refunded.has(transactionId)) {
      return { failure: failedPrecondition("FINAL_STATE", "the transaction was taken back before") };
    }
    const receiver = original.from;
    const most = original.amount;
    const due = amount === 0 ? most : gave ? amount : -amount;
    if (due <= 0 || due > most) {
      const bounds = gave ? `1 to ${most}` : `${-most} to -1`;
      const description = `must be ${bounds}, or 0 for all of the transaction`;
      return { failure: invalid([{ field: "amount", description }]) };
    }
    const { organizationId, currency, actorKeyId } = original;
    // What usage is named by is the provider's, not for those who read their transactions.
    const reference = actorKeyId === "" ? "" : original.reference;
    return {
      kind: "REFUND",
      organizationId,
      currency,
      from: original.to,
      to: "system" in receiver ? receiver : this.#payee(receiver),
      amount: micros(due),
      reference,
      reason,
      refunds: transactionId,
      overdraws: true,
    };
  }

  #payee({ accountId }: { accountId: string }): Side {
    return { accountId, isClosed: this.#books.closed.has(accountId) };
  }

  #refusalOf({ from, to, currency, amount, overdraws }: Flow): Posting | undefined {
    if (!("system" in to)) {
      const { balance } = this.#wallet(to, currency);
      if (balance > MOST_MICROS - amount) return tooMuch("more than a balance can hold");
      // A suspended account can be paid, so that it can be resumed; what a closed one had, nobody could spend.
      if (to.isClosed && balance + amount > 0) {
        const message = "the account, or one above it, is closed: it can be paid what it owes, and no more";
        return { kind: "REFUSED", failure: failedPrecondition("FINAL_STATE", message) };
      }
    }
    if ("system" in from) return undefined;
    const giver = this.#wallet(from, currency);
    if (giver.balance < amount - MOST_MICROS) return tooMuch("more than a balance can go below zero");
    if (overdraws) return undefined;
    // What a closed account owed anew, nobody of it would pay.
    const creditLimit = from.isClosed ? Math.min(giver.creditLimit, 0) : giver.creditLimit;
    const spendable = BigInt(giver.balance) + BigInt(creditLimit);
    if (BigInt(amount) > spendable) {
      const message = "the account has less credit than this takes";
      return { kind: "REFUSED", failure: failedPrecondition("CREDIT_EXHAUSTED", message) };
    }
    const name = nameOfWallet(giver);
    const claimed = this.#claimed.get(name) ?? 0;
    if (BigInt(amount) <= spendable - BigInt(giver.leased) - BigInt(claimed)) return undefined;
    this.#claimed.set(name, claimed + amount);
    return { kind: "WAIT", walletId: giver.id };
  }

  #move(id: string, { from, to, overdraws: _, ...flow }: Flow, actorKeyId: string): Transaction {
    const { currency, amount } = flow;
    const giver = "system" in from ? undefined : this.#wallet(from, currency);
    const receiver = "system" in to ? undefined : this.#wallet(to, currency);
    const atMs = Math.max(this.#books.nowMs, giver?.movedAtMs ?? 0, receiver?.movedAtMs ?? 0);
    return {
      id,
      atMs,
      ...flow,
      actorKeyId,
      from: giver === undefined ? (from as Party) : this.#put(giver, -amount, atMs),
      to: receiver === undefined ? (to as Party) : this.#put(receiver, amount, atMs),
    };
  }

  #put(wallet: Wallet, amount: number, movedAtMs: number): Party {
    const name = nameOfWallet(wallet);
    const balance = micros(wallet.balance + amount);
    this.#wallets.set(name, { ...wallet, balance, movedAtMs });
    this.#moved.add(name);
    return { walletId: wallet.id, accountId: wallet.accountId, balance };
  }

  #wallet({ accountId }: { accountId: string }, currency: string): Wallet {
    const name = { accountId, currency };
    return this.#wallets.get(nameOfWallet(name)) ?? { ...EMPTY, ...name };
  }
}

/** Of the id "": of no row yet. */
const EMPTY = {
  id: "",
  balance: 0 as Micros,
  leased: 0 as Micros,
  creditLimit: 0 as Micros,
  movedAtMs: 0,
};

function flowOf(move: Move): Flow {
  return { ...move, refunds: undefined, overdraws: move.kind === "ADJUSTMENT" };
}

function isOf(party: Party | undefined, accountId: string): boolean {
  return party !== undefined && !("system" in party) && party.accountId === accountId;
}

function tooMuch(description: string): Posting {
  return { kind: "REFUSED", failure: invalid([{ field: "amount", description }]) };
}
