import { expect, it } from "vitest";
import { type Books, compare } from "./compare.ts";
import { settle } from "./settle.ts";
import { Tally } from "./tally.ts";

/** Two accounts: one call of 5 bytes admitted and one of 7 refused for each; booked as given. */
function books(booked: Readonly<Record<string, readonly [bigint, bigint]>>, undecided = 0): Books {
  const tally = new Tally(2);
  for (const accountId of ["acc_1", "acc_2"]) {
    for (const bytes of [5n, 7n]) tally.sent({ accountId, units: [1n, bytes] });
    tally.admitted({ accountId, units: [1n, 5n] });
    const by = { code: "QUOTA_EXCEEDED", limitId: "lim_1", nodeId: accountId, meter: "bytes" };
    tally.refused({ accountId, units: [1n, 7n] }, by);
  }
  tally.undecided = undecided;
  const meters = ["requests", "bytes"];
  const units = (each: readonly bigint[]) => new Map(meters.map((meter, index) => [meter, each[index]!]));
  const { parent = [2n, 10n], ...accounts } = booked;
  return {
    meters,
    trace: units([4n, 24n]),
    tally,
    usage: {
      parent: units(parent),
      accounts: new Map(Object.entries(accounts).map(([id, each]) => [id, units(each)])),
    },
    slugs: new Map([["acc_1", "one"]]),
  };
}

const exact = { acc_1: [1n, 5n], acc_2: [1n, 5n] } as const;

it("finds nothing where everything agrees", () => {
  expect(compare(books(exact))).toEqual([]);
});

it("finds a unit that is missing, doubled, or booked on another account", () => {
  expect(compare(books({ ...exact, parent: [2n, 9n] }))).toEqual([
    "bytes: usage of the organization is 9, admitted is 10",
    "bytes: usage of the organization is 9, the sum of its accounts' is 10",
  ]);
  expect(compare(books({ acc_1: [2n, 5n], acc_2: [1n, 5n], parent: [3n, 10n] }))).toEqual([
    "requests: usage of the organization is 3, admitted is 2",
    "requests: usage of one is 2, admitted is 1",
  ]);
  expect(compare(books({ acc_1: [1n, 5n], acc_3: [1n, 5n] }))).toHaveLength(4);
});

it("does not take a call that was never decided for a refused one", () => {
  expect(compare(books(exact, 2))[0]).toContain("2 calls were never decided");
  const { trace, ...rest } = books(exact);
  const differences = compare({ ...rest, trace: new Map([...trace, ["bytes", 25n]]) });
  expect(differences).toEqual(["bytes: sent is 24, in the trace is 25"]);
});

it("waits for usage to arrive, and notices what arrives twice", async () => {
  const { usage } = books(exact);
  const read = (answers: string[][]) => ({
    read: async () => usage,
    compare: () => answers.shift() ?? [],
    deadlineMs: 1000,
    confirmMs: 1,
  });
  expect((await settle(read([["late"], [], []]))).differences).toEqual([]);
  expect((await settle(read([[], ["doubled"]]))).differences).toEqual(["doubled"]);
  expect((await settle({ ...read([]), compare: () => ["never"], deadlineMs: 0 })).differences).toEqual([
    "never",
  ]);
});
