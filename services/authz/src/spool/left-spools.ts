import { runLoop } from "@gatehouse/service";
import { Shipper, type ShipperOptions } from "./shipper.ts";
import { Spool } from "./spool.ts";
import type { SpoolLog } from "./spool-log.ts";
import type { SyncMode } from "./spool-options.ts";
import type { SpoolPlace } from "./worker-spool.ts";

/** Options of {@link shipLeftSpools}. */
export interface LeftSpoolsOptions extends Pick<ShipperOptions, "register" | "send"> {
  readonly places: readonly SpoolPlace[];
  readonly sync: SyncMode;
  readonly log: SpoolLog;
}

/** Somebody who still holds a place is ending: its own bound for that is half a minute. */
const RETRY = { minMs: 500, maxMs: 10_000 };
const TAKEN_MS = 3_600_000;

/**
 * Ships what was left in spools that nobody spools to any more, and closes the leases that they held. Each is kept
 * open until `stop`, since a restored metering may ask for what it had acknowledged.
 */
export function shipLeftSpools({ places, sync, log, register, send }: LeftSpoolsOptions): {
  stop(drainMs: number): Promise<void>;
} {
  const waiting = new Set(places);
  const opened: { readonly spool: Spool; readonly shipper: Shipper }[] = [];
  // One at a time: to recover a place takes memory for what it holds. One that cannot be taken holds up no other.
  const take = async () => {
    let failure: unknown;
    for (const place of waiting) {
      try {
        const spool = await Spool.open({ ...place, sync, log });
        const shipper = new Shipper({ spool, register, send, log });
        shipper.start();
        opened.push({ spool, shipper });
        waiting.delete(place);
        log.info({ directory: place.directory }, "took a spool that no worker has any more");
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  };
  const loop = runLoop({ name: "left spools", everyMs: TAKEN_MS, backoff: RETRY, run: take, log });
  return {
    async stop(drainMs) {
      await loop.stop();
      await Promise.all(opened.map(({ spool, shipper }) => spool.stop(() => shipper.stop(drainMs))));
    },
  };
}
