import { Backlog } from "./backlog.ts";
import { MemoryBatchStore } from "./batch-store.ts";
import { DirectoryLock } from "./directory-lock.ts";
import { DiskBatchStore } from "./disk-batch-store.ts";
import { Epoch } from "./epoch.ts";
import { epochDirectory, findEpochs } from "./epoch-directory.ts";
import { noOpenLeases, OpenLeasesFile } from "./open-leases.ts";
import { recoverEpoch } from "./recover.ts";
import type { SpoolLog } from "./spool-log.ts";

/** What a spool works on. */
export interface Workplace {
  readonly live: Epoch;
  readonly backlog: Backlog;
  readonly files?: DiskBatchStore;
  readonly lock?: DirectoryLock;
}

/** An epoch in memory. */
export function inMemory(nowMs: () => number): Workplace {
  const store = new MemoryBatchStore();
  const live = new Epoch({ number: nowMs(), isLive: true, store, openLeases: noOpenLeases });
  const backlog = new Backlog(async () => {});
  backlog.add(live);
  return { live, backlog };
}

/**
 * Takes the directory, makes batches of what earlier epochs left, and begins an epoch. Throws an Error naming the
 * directory if another process holds it.
 */
export async function onDisk({ directory, isDurable, log, nowMs }: DiskOptions): Promise<Workplace> {
  // A directory that knows of no epoch may be one that was wiped: a number that metering has seen before would make it
  // take the first batches for old ones. Hence the time, in milliseconds.
  const lock = new DirectoryLock(directory, nowMs());
  try {
    const backlog = new Backlog(async (epoch) => {
      const files = await DiskBatchStore.open(epochDirectory(directory, epoch), isDurable);
      await files.removeAll();
    });
    for (const number of findEpochs(directory)) {
      const epoch = await recoverEpoch({ directory, number, isDurable, nowMs: nowMs() });
      backlog.add(epoch);
      const { pending, kept } = epoch;
      log.info(
        { epoch: number, pending: pending.length, kept: kept.length },
        "recovered an epoch of the spool",
      );
    }
    await backlog.prune(nowMs());
    const files = await DiskBatchStore.open(epochDirectory(directory, lock.epoch), isDurable);
    const openLeases = await OpenLeasesFile.load(files.openLeasesPath, isDurable);
    const live = new Epoch({ number: lock.epoch, isLive: true, store: files, openLeases });
    backlog.add(live);
    return { live, backlog, files, lock };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Options of {@link onDisk}. */
export interface DiskOptions {
  readonly directory: string;
  readonly isDurable: boolean;
  readonly log: SpoolLog;
  readonly nowMs: () => number;
}
