import { failedPrecondition, notFound } from "@gatehouse/service/failure";
import { holderOf, type ProducerEpoch } from "./usage.ts";

/** What an epoch held of a quota when its gap was accepted. */
export interface LostLease {
  readonly leaseId: string;
  readonly limitId: string;
  /** As far as batches have told. */
  readonly unspent: number;
}

export interface GapTx {
  /** Locks the epoch; answers the number that is next. Undefined: it never registered. */
  lockKnownEpoch(epoch: ProducerEpoch): Promise<number | undefined>;
  /** Counts what the epoch holds of quotas as spent, for good. */
  forfeit(holder: string): Promise<readonly LostLease[]>;
  /** Goes on with a batch; those before it are not taken any more. */
  skip(epoch: ProducerEpoch, from: number, to: number): Promise<void>;
  audit(target: string, before: unknown, after: unknown): Promise<void>;
}

export interface GapStore {
  /** Runs `work` in a transaction; it may run more than once. */
  transact<T>(work: (tx: GapTx) => Promise<T>): Promise<T>;
}

export interface AcceptedGap {
  readonly expectedSequence: number;
  readonly lostBatches: number;
  readonly leases: readonly LostLease[];
}

/** Leases that the audit names one by one; of more, their number is told. */
const MAX_AUDITED_LEASES = 100;

/**
 * Lets an epoch go on whose batches before `sequence` are lost. What was spent of its leases in them is not known, so all
 * that is left of these counts as spent, and their closing gives nothing back: a limit admits too little, never too much.
 * Wallets lose what the batches told of: nobody is charged what nobody can show.
 *
 * Throws Failure NOT_FOUND, and FAILED_PRECONDITION (SEQUENCE_GAP) where none is missing.
 */
export async function acceptGap(
  store: GapStore,
  epoch: ProducerEpoch,
  sequence: number,
): Promise<AcceptedGap> {
  return store.transact(async (tx) => {
    const expected = await tx.lockKnownEpoch(epoch);
    if (expected === undefined) throw notFound("epoch");
    if (sequence < expected) {
      const metadata = { expected_sequence: String(expected) };
      const message = `no batch is missing before ${sequence}: the next is number ${expected}`;
      throw failedPrecondition("SEQUENCE_GAP", message, metadata);
    }
    const lostBatches = sequence - expected;
    if (lostBatches === 0) return { expectedSequence: expected, lostBatches, leases: [] };
    const leases = await tx.forfeit(holderOf(epoch));
    await tx.skip(epoch, expected, sequence);
    await tx.audit(
      holderOf(epoch),
      { expectedSequence: expected },
      {
        expectedSequence: sequence,
        lostBatches,
        forfeitedLeases: leases.length,
        leases: leases.slice(0, MAX_AUDITED_LEASES),
      },
    );
    return { expectedSequence: sequence, lostBatches, leases };
  });
}
