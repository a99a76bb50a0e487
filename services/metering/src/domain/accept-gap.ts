import { failedPrecondition, invalid, notFound } from "@gatehouse/service/failure";
import { holderOf, type ProducerEpoch } from "./usage.ts";

/** What an epoch held of a quota when its gap was accepted. */
export interface LostLease {
  readonly leaseId: string;
  readonly limitId: string;
  /** As far as batches have told. */
  readonly unspent: number;
}

/** What went back to a wallet when its epoch was ended. */
export interface ReturnedLease {
  readonly leaseId: string;
  readonly walletId: string;
  /** As far as batches have told. */
  readonly unspent: number;
}

export interface GapTx {
  /** Locks the epoch; answers the number that is next. Undefined: it never registered, and holds nothing. */
  lockKnownEpoch(epoch: ProducerEpoch): Promise<number | undefined>;
  /** Counts what the epoch holds of quotas as spent, for good. */
  forfeit(holder: string): Promise<readonly LostLease[]>;
  /** Goes on with a batch; those before it are not taken any more. */
  skip(epoch: ProducerEpoch, from: number, to: number): Promise<void>;
  /** The epoch acquires no more, from when its acquires that are under way are done. Answers whether it did until now. */
  end(epoch: ProducerEpoch): Promise<boolean>;
  /** Closes what the epoch holds still: of quotas what was forfeited, of wallets what goes back. */
  close(holder: string): Promise<readonly ReturnedLease[]>;
  audit(target: string, before: unknown, after: unknown): Promise<void>;
}

export interface GapStore {
  /** Runs `work` in a transaction; it may run more than once. */
  transact<T>(work: (tx: GapTx) => Promise<T>): Promise<T>;
}

/** Where an epoch is to go on, or that it is not to. */
export interface Gap {
  /** With `final` it may be 0: the one that is next. */
  readonly sequence: number;
  /** Nothing more is to come. */
  readonly final: boolean;
}

export interface AcceptedGap {
  readonly expectedSequence: number;
  readonly lostBatches: number;
  readonly leases: readonly LostLease[];
  readonly returned: readonly ReturnedLease[];
}

/**
 * A replica seals a batch a second at most, so this is more than a day of it. A number that was mistyped is refused where
 * it is further off, for what was skipped is never taken again; a longer gap is accepted in steps.
 */
const MAX_LOST_BATCHES = 100_000;
/** Leases that the audit names one by one; of more, their number is told. */
const MAX_AUDITED_LEASES = 20;

/**
 * Lets an epoch go on whose batches before `sequence` are lost. What was spent of its leases in them is not known, so all
 * that is left of these counts as spent, and their closing gives nothing back: a limit admits too little, never too much.
 * Wallets lose what the batches told of: nobody is charged what nobody can show.
 *
 * `final` ends the epoch besides, as its final batch would have: where its disk is gone, nothing else would ever close
 * its leases, and the money in them would be kept from its wallets for good.
 *
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND, and FAILED_PRECONDITION (SEQUENCE_GAP) where none is missing.
 */
export async function acceptGap(
  store: GapStore,
  epoch: ProducerEpoch,
  { sequence: asked, final }: Gap,
): Promise<AcceptedGap> {
  return store.transact(async (tx) => {
    const expected = await tx.lockKnownEpoch(epoch);
    if (expected === undefined) throw notFound("epoch");
    const sequence = final && asked === 0 ? expected : asked;
    checkSequence(sequence, expected);
    const holder = holderOf(epoch);
    const lostBatches = sequence - expected;
    const isEnding = final && (await tx.end(epoch));
    if (lostBatches === 0 && !isEnding) return { expectedSequence: expected, lostBatches, ...NOTHING };
    const leases = await tx.forfeit(holder);
    const returned = isEnding ? await tx.close(holder) : [];
    if (lostBatches > 0) await tx.skip(epoch, expected, sequence);
    await tx.audit(
      holder,
      { expectedSequence: expected },
      {
        expectedSequence: sequence,
        lostBatches,
        forfeitedLeases: leases.length,
        leases: leases.slice(0, MAX_AUDITED_LEASES),
        ...(isEnding && {
          final,
          returnedLeases: returned.length,
          returned: returned.slice(0, MAX_AUDITED_LEASES),
        }),
      },
    );
    return { expectedSequence: sequence, lostBatches, leases, returned };
  });
}

const NOTHING = { leases: [], returned: [] };

function checkSequence(sequence: number, expected: number): void {
  if (sequence < expected) {
    const metadata = { expected_sequence: String(expected) };
    const message = `no batch is missing before ${sequence}: the next is number ${expected}`;
    throw failedPrecondition("SEQUENCE_GAP", message, metadata);
  }
  if (sequence - expected <= MAX_LOST_BATCHES) return;
  const most = expected + MAX_LOST_BATCHES;
  const description = `must be ${expected} to ${most}: the next is number ${expected}, and ${MAX_LOST_BATCHES} are given up at most`;
  throw invalid([{ field: "sequence", description }]);
}
