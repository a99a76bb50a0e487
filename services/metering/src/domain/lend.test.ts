import { expect, it } from "vitest";
import { AcquireLoop } from "./acquire-loop.ts";
import type {
  AcquireRequest,
  HeldOfQuota,
  LeaseStore,
  MissingRows,
  RoundChanges,
  Stock,
  Survey,
} from "./lease.ts";
import type { QuotaLimit } from "./limit.ts";

const quota: QuotaLimit = {
  id: "lim_1",
  node: { kind: "ACCOUNT", id: "acc_1" },
  source: "OWN",
  meter: "requests",
  resource: "",
  allowance: { kind: "QUOTA", units: 10, window: "NEVER", timeZone: "UTC", anchorMs: undefined },
  enforcement: "ENFORCE",
  createdAtMs: 0,
  updatedAtMs: 0,
};
const row = { id: "1", limitId: "lim_1", shareNode: "", endMs: undefined, spent: 0, leased: 0 };

/** A database of one quota; what is there, and what the log says of it when it is locked. */
function storeOf({ limits = [quota], isOpen = true, locked = {} as Partial<Stock> } = {}) {
  const did: string[] = [];
  const opened: MissingRows[] = [];
  const written: RoundChanges[] = [];
  const position = { incarnation: "4fd7aa2c-87f7-4ba0-a8b2-5a2ba1e14e5c", revision: 1 };
  const terms = { position, limits, money: new Map() };
  const none = { unknownNodes: new Set<string>(), unknownMeters: new Set<string>(), reported: [] };
  const store: LeaseStore = {
    async survey() {
      did.push("survey");
      const quotas = new Map(isOpen || opened.length > 0 ? [["lim_1", [row]]] : []);
      const survey: Survey = { nowMs: 0, terms, endedHolders: new Set(), quotas, rates: new Set(), ...none };
      return survey;
    },
    async open(missing) {
      did.push("open");
      opened.push(missing);
    },
    transact(work) {
      did.push("transact");
      const nothing = { quotaLeases: [], rates: [], rateLeases: [], wallets: [], walletLeases: [] };
      const stock = {
        nowMs: 0,
        terms,
        endedHolders: new Set<string>(),
        quotas: [row],
        ...nothing,
        ...locked,
      };
      return work({ lock: async () => stock, write: async (changes) => void written.push(changes) });
    },
  };
  return { loop: new AcquireLoop(store, 0), did, opened, written, terms };
}

function asking(units: number): AcquireRequest {
  const needs = new Map(units > 0 ? [["requests", units]] : []);
  const ask = { nodeIds: ["acc_1"], resource: "", needs, walletNeeds: new Map(), wants: new Map() };
  return { holder: "authz-1/1", asks: [ask], reports: [] };
}

it("asks that draw on no bucket are answered without a transaction", async () => {
  const { loop, did } = storeOf({ limits: [] });
  const { results, limits } = await loop.acquire(asking(1));
  expect([results, limits, did]).toEqual([[{ outcome: "GRANTED" }], new Map([["acc_1", []]]), ["survey"]]);
});

it("a window that is not written down yet is, before anything is locked", async () => {
  const { loop, did, opened } = storeOf({ isOpen: false });
  expect((await loop.acquire(asking(1))).leases).toMatchObject([{ limitId: "lim_1" }]);
  expect(did).toEqual(["survey", "open", "survey", "transact"]);
  expect(opened).toMatchObject([{ windows: [{ limitId: "lim_1" }], shares: [], rates: [] }]);
});

it("a limit that was lowered while its bucket was waited for lends by what it is now", async () => {
  const lowered = { ...quota, allowance: { ...quota.allowance, units: 1 } };
  const terms = { ...storeOf().terms, limits: [lowered] };
  const { results } = await storeOf({ locked: { terms } }).loop.acquire(asking(2));
  expect(results).toMatchObject([{ outcome: "EXHAUSTED", limitId: "lim_1" }]);
});

it("what a vanished holder has not spoken of is spent, told apart and counted", async () => {
  const lease: HeldOfQuota = {
    bucketId: "1",
    limitId: "lim_1",
    holder: "gone/1",
    units: 7,
    isForfeited: true,
  };
  const quotas = [{ ...row, leased: 9 }];
  const quotaLeases = [lease, { ...lease, holder: "here/1", units: 2, isForfeited: false }];
  const { loop, written } = storeOf({ locked: { nowMs: 60_000, quotas, quotaLeases } });
  expect((await loop.acquire(asking(1))).results).toEqual([{ outcome: "GRANTED" }]);
  expect(written).toMatchObject([
    { quotaBuckets: [{ id: "1", spent: 7, leased: 3 }], forfeits: { bucketIds: ["1"], beforeMs: 55_000 } },
  ]);
  expect(loop.forfeitedUnits).toBe(7);
});
