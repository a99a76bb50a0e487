import type { KeyView } from "@gatehouse/access";
import { type CreditScope, creditScope } from "./credit-scope.ts";
import { Fields } from "./fields.ts";
import type { Mirror } from "./mirror.ts";
import type { Micros, TransferKind } from "./money.ts";
import { type Reader, readerOf } from "./node-in-reach.ts";
import { type Page, type PageDraft, pageOf, writeToken } from "./page.ts";
import { isTime } from "./usage-span.ts";

/** Where an entry is in the order of the ledger: by time, then as it was written, the giver's before the receiver's. */
export interface EntryPlace {
  readonly atMs: number;
  /** Of its transaction. */
  readonly seq: string;
  readonly isReceived: boolean;
}

/** A transaction as one of its accounts sees it. */
export interface Entry extends EntryPlace {
  /** The transaction's. */
  readonly id: string;
  readonly kind: TransferKind;
  readonly accountId: string;
  readonly currency: string;
  /** Signed. */
  readonly amount: Micros;
  readonly balance: Micros;
  /** Empty for the provider's side, and out of the reader's reach. */
  readonly counterpartId: string;
  readonly reference: string;
  readonly reason: string;
  readonly refunds: string;
  /** Empty for usage, and out of the reader's reach. */
  readonly actorKeyId: string;
}

export interface EntryQuery extends CreditScope {
  /** Empty: all. */
  readonly kinds: readonly TransferKind[];
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
  /** Later in the list, so earlier in time, than this one. */
  readonly after: EntryPlace | undefined;
  /** Names of accounts and keys are shown of this account, or of all below it too. */
  readonly reader: Reader;
}

export interface EntryStore {
  /** Newest first. */
  entries(query: EntryQuery, count: number): Promise<readonly Entry[]>;
}

export interface EntryDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly store: EntryStore;
}

/** A list as it was asked for. */
export interface EntriesDraft extends PageDraft {
  readonly account: string;
  readonly descendants: boolean;
  readonly currency: string;
  readonly kinds: readonly (TransferKind | "UNKNOWN")[];
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
}

/** What moved, newest first. Throws Failure INVALID_ARGUMENT, NOT_FOUND. */
export async function listTransactions(
  { mirror, store }: EntryDependencies,
  caller: KeyView,
  draft: EntriesDraft,
): Promise<Page<Entry>> {
  const after = checked(draft);
  const scope = await creditScope(mirror, caller, draft);
  const query: EntryQuery = {
    ...scope,
    kinds: draft.kinds as readonly TransferKind[],
    startMs: draft.startMs,
    endMs: draft.endMs,
    after,
    reader: readerOf(caller),
  };
  return pageOf(
    draft,
    (count) => store.entries(query, count),
    ({ atMs, seq, isReceived }) => writeToken([`${atMs}`, seq, isReceived ? "1" : "0"]),
  );
}

/** Kinds there are, and room for naming some twice. */
const MAX_KINDS = 16;
/** A bigint of the database, above 0. */
const NUMBER = /^[1-9][0-9]{0,17}$/;

function checked(draft: EntriesDraft): EntryPlace | undefined {
  const fields = new Fields();
  const { kinds, startMs, endMs } = draft;
  fields.account("account", draft.account, { isRequired: false });
  fields.currency(draft.currency, { isRequired: false });
  if (kinds.length > MAX_KINDS) fields.wrong("kinds", `has more than ${MAX_KINDS} items`);
  for (const [i, kind] of kinds.entries()) {
    if (kind === "UNKNOWN") fields.wrong(`kinds[${i}]`, "not known to this version");
  }
  fields.time("start", startMs);
  fields.time("end", endMs);
  if (startMs !== undefined && endMs !== undefined && endMs <= startMs) {
    fields.wrong("end", "must be after start");
  }
  const after = fields.page(draft, isPlace);
  fields.check();
  return after && { atMs: Number(after[0]), seq: after[1]!, isReceived: after[2] === "1" };
}

function isPlace([atMs = "", seq = "", side = "", ...more]: readonly string[]): boolean {
  return (
    NUMBER.test(atMs) &&
    isTime(Number(atMs)) &&
    NUMBER.test(seq) &&
    (side === "0" || side === "1") &&
    more.length === 0
  );
}
