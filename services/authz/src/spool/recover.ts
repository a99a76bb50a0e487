import { writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { Aggregate } from "./aggregate.ts";
import { MAX_TURN_BYTES } from "./bounds.ts";
import { DiskBatchStore } from "./disk-batch-store.ts";
import { Epoch } from "./epoch.ts";
import { epochDirectory } from "./epoch-directory.ts";
import { wholeFrames } from "./frame.ts";
import { OpenLeasesFile } from "./open-leases.ts";
import { CLOSED } from "./record.ts";
import { Segment } from "./segment.ts";
import { LeaseRef } from "./series.ts";
import { Turn } from "./turn.ts";

/**
 * What a dead epoch left behind becomes batches. Each raw segment is parsed up to its last whole frame and sealed under
 * its own number, to the batch that its process would have made of it. Then every lease that the epoch was handed and
 * did not close is closed: the process that spent from it is gone, all it spent is in these batches, and the rest can
 * go back. The last batch says that the epoch has ended, whatever else it says: an answer with leases may have been on
 * its way when the process died, so metering knows of leases that nobody here has heard of, and closes those too.
 * All this goes through segments of their own, so that a crash in here is recovered like any other.
 */

/** Options of {@link recoverEpoch}. */
export interface RecoverOptions {
  readonly directory: string;
  readonly number: number;
  readonly isDurable: boolean;
  readonly nowMs: number;
}

/** The epoch with all its batches, old and newly sealed. */
export async function recoverEpoch({ directory, number, isDurable, nowMs }: RecoverOptions): Promise<Epoch> {
  const store = await DiskBatchStore.open(epochDirectory(directory, number), isDurable);
  const { segments, pending, kept, rejected } = await store.find();
  const openLeases = await OpenLeasesFile.load(store.openLeasesPath, isDurable);
  const batched = Math.max(0, ...[pending, kept, rejected].flatMap((found) => found.at(-1)?.sequence ?? []));
  // The log of leases runs ahead of the batches by the segment whose sealing was cut short.
  const unsealed = segments.filter((sequence) => sequence > batched);
  const lastSequence = unsealed.length > 0 ? unsealed[0]! - 1 : Math.max(batched, openLeases.sealed);
  const refs = [pending, kept].map((found) =>
    found.map(({ sealedAtMs, ...ref }) => ({ ...ref, atMs: sealedAtMs })),
  );
  const epoch = new Epoch({
    number,
    isLive: false,
    store,
    openLeases,
    lastSequence,
    pending: refs[0]!,
    kept: refs[1]!,
  });

  for (const sequence of segments) {
    const frames = [...wholeFrames(await readFile(store.segmentPath(sequence)))];
    // Without a whole frame the number was never used, unless a later one was.
    if (sequence > batched && (frames.length > 0 || sequence < segments.at(-1)!)) {
      await epoch.seal(sequence, aggregateOf(frames), nowMs);
    }
    await store.removeSegment(sequence);
  }
  if (!openLeases.isEnded) {
    await endEpoch(epoch, store, isDurable, nowMs);
  }
  return epoch;
}

/** What payloads add up to. */
export function aggregateOf(payloads: Iterable<Buffer>): Aggregate {
  const aggregate = new Aggregate();
  for (const payload of payloads) {
    aggregate.apply(payload);
  }
  return aggregate;
}

async function endEpoch(
  epoch: Epoch,
  store: DiskBatchStore,
  isDurable: boolean,
  nowMs: number,
): Promise<void> {
  const turn = new Turn();
  const sealTurn = async () => {
    const sequence = epoch.lastSequence + 1;
    const segment = new Segment({ sequence, path: store.segmentPath(sequence), isDurable, write: writeSync });
    await new Promise<void>((resolve, reject) => {
      segment.append(turn.take().bytes, (error) => (error === undefined ? resolve() : reject(error)));
    });
    await segment.finish();
    await epoch.seal(sequence, segment.aggregate, nowMs);
    await store.removeSegment(sequence);
    turn.beginSegment();
  };
  for (const leaseId of [...epoch.openLeases.ids()]) {
    turn.mark(CLOSED, new LeaseRef(leaseId));
    if (turn.growthBytes >= MAX_TURN_BYTES) {
      await sealTurn();
    }
  }
  turn.end();
  await sealTurn();
}
