export { shipLeftSpools } from "./left-spools.ts";
export type { LeaseRef, Series } from "./series.ts";
export {
  type Expected,
  type OutgoingBatch,
  type RegisterProducer,
  Shipper,
  type ShipperOptions,
} from "./shipper.ts";
export { Spool, type SpoolOptions, type SyncMode, type WrittenCallback } from "./spool.ts";
export type { SpoolLog } from "./spool-log.ts";
export { placeOfWorker, placesLeft, type WorkerNumber } from "./worker-spool.ts";
