export { shipLeftSpools } from "./left-spools.ts";
export { Shipper, type ShipperOptions } from "./shipper.ts";
export { Spool } from "./spool.ts";
export { placeOfWorker, placesLeft, type WorkerNumber } from "./worker-spool.ts";
