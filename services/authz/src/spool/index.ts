export { shipLeftSpools } from "./left-spools.ts";
export type { LeaseRef, Series } from "./series.ts";
export {
  type Expected,
  type OutgoingBatch,
  type RegisterProducer,
  Shipper,
  type ShipperOptions,
} from "./shipper.ts";
export { Spool } from "./spool.ts";
export type { SpoolLog } from "./spool-log.ts";
export type { SpoolOptions, SyncMode, WrittenCallback } from "./spool-options.ts";
export { placeOfWorker, placesLeft, type WorkerNumber } from "./worker-spool.ts";
