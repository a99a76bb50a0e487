import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { available, type Micros, micros } from "./money.ts";
import { type Move, type Movement, nameOfWallet, type Party, type Wallet } from "./movement.ts";
import { type Books, type Posting, postMovements } from "./post-movements.ts";

const ACCOUNTS = ["acc_a", "acc_b", "acc_c"] as const;
const currency = "USD";
const actor = { keyId: "key_1", accountId: "acc_1" };
let made = 0;

function walletOf(
  accountId: string,
  terms: Partial<Record<"balance" | "leased" | "creditLimit", number>> = {},
): Wallet {
  const { balance = 0, leased = 0, creditLimit = 0 } = terms;
  return {
    id: `wal_${accountId}`,
    accountId,
    currency,
    balance: micros(balance),
    leased: micros(leased),
    creditLimit: micros(creditLimit),
    movedAtMs: 0,
  };
}

function booksOf(wallets: readonly Wallet[], more: Partial<Books> = {}): Books {
  const byName = new Map(wallets.map((wallet) => [nameOfWallet(wallet), wallet]));
  return { nowMs: 1, wallets: byName, originals: new Map(), refunded: new Set(), closed: new Set(), ...more };
}

function move(kind: Move["kind"], from: Move["from"], to: Move["to"], amount: number): Movement {
  const terms = { organizationId: "acc_1", currency, reference: "", reason: "" };
  return {
    id: `txn_${made++}`,
    name: undefined,
    actor,
    order: { kind, ...terms, from, to, amount: amount as Micros },
  };
}

const transfer = (from: string, to: string, amount: number) =>
  move("TRANSFER", { accountId: from }, { accountId: to }, amount);
const kinds = (postings: readonly Posting[]) => postings.map(({ kind }) => kind);

test("what came in the same round can be passed on", () => {
  const books = booksOf([walletOf("acc_a", { balance: 7 })]);
  const { postings, moved } = postMovements(
    [transfer("acc_a", "acc_b", 7), transfer("acc_b", "acc_c", 7), transfer("acc_a", "acc_c", 1)],
    books,
  );
  expect(kinds(postings)).toEqual(["DONE", "DONE", "REFUSED"]);
  expect(moved.map(({ accountId, balance }) => [accountId, balance])).toEqual([
    ["acc_a", 0],
    ["acc_b", 0],
    ["acc_c", 7],
  ]);
});

test("what waits for leases is not passed by, and refuses nobody", () => {
  const books = booksOf([walletOf("acc_a", { balance: 10, leased: 6 })]);
  const amounts = [5, 3, 11, 4];
  const { postings, moved } = postMovements(
    amounts.map((amount) => transfer("acc_a", "acc_b", amount)),
    books,
  );
  expect(kinds(postings)).toEqual(["WAIT", "WAIT", "REFUSED", "WAIT"]);
  expect(moved).toEqual([]);
  // Without the one before it, it would go.
  expect(kinds(postMovements([transfer("acc_a", "acc_b", 3)], books).postings)).toEqual(["DONE"]);
});

test("a row's time is not before its wallets'", () => {
  const late = { ...walletOf("acc_a", { balance: 5 }), movedAtMs: 50 };
  const { postings, moved } = postMovements([transfer("acc_a", "acc_b", 5)], booksOf([late]));
  expect(postings).toMatchObject([{ transaction: { atMs: 50 } }]);
  expect(moved.map(({ movedAtMs }) => movedAtMs)).toEqual([50, 50]);
});

describe("whatever is asked in a round", () => {
  const account = fc.constantFrom(...ACCOUNTS);
  const amount = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(Number.MAX_SAFE_INTEGER));
  const movement = fc.oneof(
    fc
      .tuple(account, account, amount)
      .map(([from, to, due]) => transfer(from, to === from ? "acc_d" : to, due)),
    fc
      .tuple(account, amount)
      .map(([to, due]) => move("TOP_UP", { system: "EXTERNAL" }, { accountId: to }, due)),
    fc
      .tuple(account, amount)
      .map(([from, due]) => move("ADJUSTMENT", { accountId: from }, { system: "ADJUSTMENT" }, due)),
  );
  const terms = fc.record({
    balance: fc.integer({ min: -30, max: 60 }),
    leased: fc.nat({ max: 30 }),
    creditLimit: fc.nat({ max: 30 }),
  });
  const given = fc.record({
    movements: fc.array(movement, { maxLength: 20 }),
    wallets: fc.tuple(...ACCOUNTS.map((accountId) => terms.map((of) => walletOf(accountId, of)))),
  });
  const balanceIn = (party: Party) => ("system" in party ? undefined : party.balance);

  test("each wallet moves by what its rows say, and no transfer leaves less than leases and credit allow", () => {
    fc.assert(
      fc.property(given, ({ movements, wallets }) => {
        const books = booksOf(wallets);
        const { postings, moved } = postMovements(movements, books);
        const balances = new Map([...books.wallets].map(([name, wallet]) => [name, BigInt(wallet.balance)]));
        for (const posting of postings) {
          if (posting.kind !== "DONE") continue;
          const { from, to, amount: due, kind } = posting.transaction;
          for (const [party, sign] of [
            [from, -1n],
            [to, 1n],
          ] as const) {
            if ("system" in party) continue;
            const name = nameOfWallet({ accountId: party.accountId, currency });
            const after = (balances.get(name) ?? 0n) + sign * BigInt(due);
            balances.set(name, after);
            expect(balanceIn(party)).toBe(Number(after));
            const wallet = books.wallets.get(name);
            if (kind === "TRANSFER" && party === from) {
              const { leased = 0, creditLimit = 0 } = wallet ?? {};
              expect(after + BigInt(creditLimit) - BigInt(leased)).toBeGreaterThanOrEqual(0n);
            }
          }
        }
        for (const wallet of moved) expect(BigInt(wallet.balance)).toBe(balances.get(nameOfWallet(wallet)));
      }),
    );
  });

  test("a transfer is refused only for more than there would be if every lease came back", () => {
    fc.assert(
      fc.property(given, ({ movements, wallets }) => {
        const { postings } = postMovements(movements, booksOf(wallets));
        const kept = booksOf(wallets.map((wallet) => ({ ...wallet, leased: 0 as Micros })));
        const first = movements.findIndex((_, i) => postings[i]!.kind !== "DONE");
        if (first < 0 || postings[first]!.kind !== "REFUSED") return;
        // Up to the first that did not go, all went as they would have without leases.
        const without = postMovements(movements.slice(0, first + 1), kept).postings;
        expect(without.at(-1)!.kind).toBe("REFUSED");
      }),
    );
  });

  test("is answered the same whatever was in other wallets", () => {
    fc.assert(
      fc.property(given, terms, ({ movements, wallets }, other) => {
        const books = booksOf(wallets);
        const more = booksOf([...wallets, walletOf("acc_z", other)]);
        expect(postMovements(movements, more).postings).toEqual(postMovements(movements, books).postings);
      }),
    );
  });
});

test("what is available is never counted beyond what can be", () => {
  const most = Number.MAX_SAFE_INTEGER;
  expect(available(walletOf("acc_a", { balance: most, creditLimit: most, leased: 5 }))).toBe(most);
  expect(available(walletOf("acc_a", { balance: -most, creditLimit: most, leased: 5 }))).toBe(-5);
});
