import type { Principal } from "@gatehouse/access";
import { IngestService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { type IngestDependencies, ingestBatch } from "../domain/ingest.ts";
import { batchOf, producerEpoch } from "./ingest-wire.ts";

export function ingestRoute(dependencies: IngestDependencies): Route<Principal> {
  return route<typeof IngestService, Principal>(IngestService, {
    async registerProducer(request) {
      return { expectedSequence: BigInt(await dependencies.store.register(producerEpoch(request))) };
    },

    async ingestBatch(request) {
      const { expectedSequence, quarantined } = await ingestBatch(dependencies, batchOf(request));
      return { expectedSequence: BigInt(expectedSequence), quarantined };
    },
  });
}
