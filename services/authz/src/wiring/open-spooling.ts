import type { Disposables, Log } from "@gatehouse/service";
import type { AuthzConfig } from "../config.ts";
import type { Parts } from "../parts.ts";
import {
  placeOfWorker,
  placesLeft,
  Shipper,
  Spool,
  shipLeftSpools,
  type WorkerNumber,
} from "../spool/index.ts";

export interface SpoolingOptions {
  readonly config: AuthzConfig;
  readonly worker: WorkerNumber;
  readonly parts: Pick<Parts, "meteringSource">;
  /** Told how long each write took. */
  readonly onWritten: (ms: number) => void;
  readonly log: Log;
  readonly opened: Disposables;
}

/** What is not shipped by then waits in the spool for the next start. */
const DRAIN_MS = 3000;

/** Takes the spool's directory, and ships what is in it to metering. Rejects where the directory is taken. */
export async function openSpooling({ config, worker, parts, onWritten, log, opened }: SpoolingOptions) {
  const { sync } = config.spool;
  const place = placeOfWorker(config.spool, worker);
  const spool = await Spool.open({ ...config.spool, ...place, onWritten, log });
  const holder = `${spool.producer}/${spool.epoch}`;
  const metering = parts.meteringSource(config.meteringAddress, config.serviceSecret.reveal(), holder);
  opened.add("metering client", () => metering.close());
  const { register, ingest: send } = metering;
  const shipper = new Shipper({ spool, register, send, log });
  shipper.start();
  opened.add("spool", () => spool.stop(() => shipper.stop(DRAIN_MS)));
  if (worker.number === 1 && sync !== "off") {
    const places = placesLeft(config.spool, worker.count);
    const left = shipLeftSpools({ places, sync, register, send, log });
    opened.add("left spools", () => left.stop(DRAIN_MS));
  }
  /** Where this replica, and no other, may keep files; undefined where it is to keep none. */
  const directory = sync === "off" ? undefined : place.directory;
  return { spool, shipper, metering, directory };
}
