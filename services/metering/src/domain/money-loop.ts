import { Failure, type FailureInit, unavailable } from "@gatehouse/service/failure";
import { available } from "./money.ts";
import type { Movement, RequestName, Transaction, Wallet, WalletName } from "./movement.ts";
import { nameOfWallet } from "./movement.ts";
import { type Posting, postMovements, walletsOf } from "./post-movements.ts";
import { RoundLoop, type Turn } from "./round-loop.ts";

/** What a key was answered. */
export interface Remembered {
  readonly digest: string;
  readonly outcome: { readonly transaction: Transaction } | { readonly failure: FailureInit };
}

/** What a round leaves behind. */
export interface RoundOfMoney {
  readonly transactions: readonly { readonly movement: Movement; readonly transaction: Transaction }[];
  readonly wallets: readonly Wallet[];
  readonly refused: readonly { readonly name: RequestName; readonly failure: FailureInit }[];
  /** Names claimed whose movements wait: they are free again. */
  readonly unclaimed: readonly RequestName[];
  /** Wallets to call back what is lent of. */
  readonly recalled: readonly string[];
}

/** A transaction over wallets and the ledger. */
export interface MoneyTx {
  /**
   * Takes these names, each of them once among them, for movements of these ids. Answers what those taken before
   * were answered, by place; one that another transaction is taking is waited for.
   */
  claim(
    names: readonly { readonly name: RequestName; readonly transactionId: string }[],
  ): Promise<ReadonlyMap<number, Remembered>>;
  transactions(ids: readonly string[]): Promise<readonly Transaction[]>;
  /** Locks the wallets that are there, in the order of their ids; and says the time, which may be before the locks. */
  lock(names: readonly WalletName[]): Promise<{ nowMs: number; wallets: readonly Wallet[] }>;
  /** Opens wallets. The accounts' nodes have changed. */
  open(names: readonly WalletName[]): Promise<void>;
  /** Which of the accounts are closed, or below one that is. */
  closed(accountIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** Which of the transactions have been taken back. */
  refunded(transactionIds: readonly string[]): Promise<ReadonlySet<string>>;
  write(round: RoundOfMoney): Promise<void>;
}

export interface MoneyStore {
  /** Runs `work` in a transaction; it may run more than once, and has no effect outside `tx`. */
  transact<T>(work: (tx: MoneyTx) => Promise<T>): Promise<{ readonly value: T; readonly freshness: string }>;
}

/** What was booked, now or the first time. */
export interface Moved {
  readonly transaction: Transaction;
  readonly freshness: string;
}

/** As long as an acquire waits for what it calls back. */
const DEFAULT_WAIT_MS = 50;
/** More make a transaction longer than a transfer should wait for, and gain nothing: a round is then mostly rows. */
const MAX_PER_ROUND = 500;
const MAX_ARRIVED = 10_000;

/** All movements of money of this replica, in rounds. Between replicas the wallets' locks decide. */
export class MoneyLoop {
  readonly #loop: RoundLoop<Waiting, Moved>;
  readonly #store: MoneyStore;
  readonly #onAnswered: (afterMs: number) => void;

  /** `waitMs`: how long a transfer waits for what is lent of its wallet. */
  constructor(store: MoneyStore, waitMs = DEFAULT_WAIT_MS, onAnswered: (afterMs: number) => void = () => {}) {
    this.#store = store;
    this.#onAnswered = onAnswered;
    this.#loop = new RoundLoop({
      serve: (items) => this.#serve(items),
      waitMs,
      maxPerRound: MAX_PER_ROUND,
      maxArrived: MAX_ARRIVED,
    });
  }

  /** Throws what the movement is refused with, Failure IDEMPOTENCY_MISMATCH, UNAVAILABLE and OVERLOADED. */
  async move(movement: Movement): Promise<Moved> {
    const startedMs = performance.now();
    try {
      return await this.#loop.submit({ movement, hasRecalled: false });
    } finally {
      this.#onAnswered(performance.now() - startedMs);
    }
  }

  /** Something of these wallets came back, somewhere. */
  wake(walletIds: readonly string[]): void {
    this.#loop.wake(walletIds);
  }

  get waiting(): number {
    return this.#loop.waiting;
  }

  get rounds(): number {
    return this.#loop.rounds;
  }

  close(): void {
    this.#loop.close();
  }

  async #serve(items: readonly Waiting[]): Promise<readonly Turn<Moved>[]> {
    const { value, freshness } = await this.#store.transact((tx) => runRound(tx, items));
    return value.map((outcome, i) => {
      if (outcome.kind === "DONE") return { answer: { transaction: outcome.transaction, freshness } };
      if (outcome.kind === "REFUSED") return { failure: new Failure(outcome.failure) };
      items[i]!.hasRecalled = true;
      return { lacks: [outcome.walletId], otherwise: { failure: leasedElsewhere() } };
    });
  }
}

interface Waiting {
  readonly movement: Movement;
  /** What is lent of its wallet was called back for its sake: once is enough, for it asks again soon. */
  hasRecalled: boolean;
}

async function runRound(tx: MoneyTx, items: readonly Waiting[]): Promise<readonly Posting[]> {
  const { claims, repeats } = firstsOf(items);
  const remembered = await tx.claim(claims);
  const outcomes: (Posting | undefined)[] = items.map(() => undefined);
  for (const [i, { place }] of claims.entries()) {
    const before = remembered.get(i);
    if (before !== undefined) outcomes[place] = replayOf(before, items[place]!.movement);
  }
  const places = items.flatMap((_, i) => (outcomes[i] === undefined && !repeats.has(i) ? [i] : []));
  const fresh = places.map((i) => items[i]!.movement);
  const { postings, wallets } = await judge(tx, fresh);
  for (const [n, i] of places.entries()) outcomes[i] = postings[n]!;
  for (const [i, first] of repeats) {
    const { digest } = items[first]!.movement.name!;
    outcomes[i] = repeatOf({ digest, posting: outcomes[first]! }, items[i]!.movement);
  }
  await tx.write(roundOf(items, places, outcomes as Posting[], wallets));
  return outcomes as Posting[];
}

/** Of several movements under one name the first is the one that moves; the others are answered as it is. */
function firstsOf(items: readonly Waiting[]) {
  const firsts = new Map<string, number>();
  const repeats = new Map<number, number>();
  const claims: { name: RequestName; transactionId: string; place: number }[] = [];
  for (const [place, { movement }] of items.entries()) {
    const { name, id } = movement;
    if (name === undefined) continue;
    const key = `${name.accountId} ${name.idempotencyKey}`;
    const first = firsts.get(key);
    if (first !== undefined) repeats.set(place, first);
    else {
      firsts.set(key, place);
      claims.push({ name, transactionId: id, place });
    }
  }
  return { claims, repeats };
}

async function judge(tx: MoneyTx, movements: readonly Movement[]) {
  const asked = movements.flatMap(({ order }) => (order.kind === "REFUND" ? [order.transactionId] : []));
  const rows = asked.length === 0 ? [] : await tx.transactions(asked);
  const originals = new Map(rows.map((transaction) => [transaction.id, transaction]));
  const names = new Map(
    movements.flatMap((movement) =>
      walletsOf(movement, originals).map((name) => [nameOfWallet(name), name] as const),
    ),
  );
  if (names.size === 0) {
    const nothing = { nowMs: 0, wallets: new Map(), originals, refunded: NONE, closed: NONE };
    return { postings: postMovements(movements, nothing).postings, wallets: [] };
  }
  const payees = rows.flatMap(({ from }) => ("system" in from ? [] : [from.accountId]));
  const closed = payees.length === 0 ? NONE : await tx.closed(payees);
  for (;;) {
    const locked = await tx.lock([...names.values()]);
    const wallets = new Map(locked.wallets.map((wallet) => [nameOfWallet(wallet), wallet]));
    // Behind the locks: what took a transaction back meanwhile has the same wallets.
    const before = asked.length === 0 ? NONE : await tx.refunded(asked);
    const books = { nowMs: locked.nowMs, wallets, originals, refunded: before, closed };
    const { postings, moved } = postMovements(movements, books);
    const missing = moved.filter(({ id }) => id === "");
    if (missing.length === 0) return { postings, wallets: moved };
    // Now they are there, and are judged as they are: who opened them may have been another.
    await tx.open(missing);
  }
}

const NONE: ReadonlySet<string> = new Set();

function roundOf(
  items: readonly Waiting[],
  places: readonly number[],
  outcomes: readonly Posting[],
  wallets: readonly Wallet[],
): RoundOfMoney {
  const transactions: { movement: Movement; transaction: Transaction }[] = [];
  const refused: { name: RequestName; failure: FailureInit }[] = [];
  const unclaimed: RequestName[] = [];
  const recalled = new Set<string>();
  for (const i of places) {
    const { movement, hasRecalled } = items[i]!;
    const outcome = outcomes[i]!;
    if (outcome.kind === "DONE") transactions.push({ movement, transaction: outcome.transaction });
    else if (outcome.kind === "WAIT") {
      if (movement.name !== undefined) unclaimed.push(movement.name);
      if (!hasRecalled) recalled.add(outcome.walletId);
    } else if (movement.name !== undefined) {
      refused.push({ name: movement.name, failure: outcome.failure });
    }
  }
  // An adjustment may take what is lent: it comes back, and is not lent again.
  for (const wallet of wallets) if (wallet.leased > 0 && available(wallet) < 0) recalled.add(wallet.id);
  return { transactions, wallets, refused, unclaimed, recalled: [...recalled] };
}

function replayOf({ digest, outcome }: Remembered, movement: Movement): Posting {
  const posting: Posting =
    "failure" in outcome
      ? { kind: "REFUSED", failure: outcome.failure }
      : { kind: "DONE", transaction: outcome.transaction };
  return repeatOf({ digest, posting }, movement);
}

function repeatOf(before: { digest: string; posting: Posting }, { name, order }: Movement): Posting {
  if (before.digest !== name!.digest) return mismatch();
  // Another key of the account moved it, and this one does not reach the accounts: it does not hear of them this way.
  return order.kind === "REFUSED" && order.failure.code === "NOT_FOUND" ? order : before.posting;
}

function mismatch(): Posting {
  return {
    kind: "REFUSED",
    failure: {
      code: "ABORTED",
      reason: "IDEMPOTENCY_MISMATCH",
      message: "the idempotency key was used before, with another body",
    },
  };
}

function leasedElsewhere(): Failure {
  return unavailable(
    "what is left of the credit is lent to replicas, which were asked to return it; try again",
  );
}
