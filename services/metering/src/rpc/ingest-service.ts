import type { Principal } from "@gatehouse/access";
import { IngestService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { acceptGap, type GapStore } from "../domain/accept-gap.ts";
import { type IngestDependencies, ingestBatch } from "../domain/ingest.ts";
import { batchOf, gapOf, producerEpoch } from "./ingest-wire.ts";

export function ingestRoute(
  dependencies: IngestDependencies & { readonly gaps: GapStore },
): Route<Principal> {
  return route<typeof IngestService, Principal>(IngestService, {
    async registerProducer(request) {
      return { expectedSequence: BigInt(await dependencies.store.register(producerEpoch(request))) };
    },

    async ingestBatch(request) {
      const { expectedSequence, quarantined } = await ingestBatch(dependencies, batchOf(request));
      return { expectedSequence: BigInt(expectedSequence), quarantined };
    },

    async acceptGap(request) {
      const { epoch, gap } = gapOf(request);
      const { expectedSequence, lostBatches, leases, returned } = await acceptGap(
        dependencies.gaps,
        epoch,
        gap,
      );
      return {
        expectedSequence: BigInt(expectedSequence),
        lostBatches: BigInt(lostBatches),
        forfeitedLeases: BigInt(leases.length),
        forfeitedUnits: leases.reduce((sum, { unspent }) => sum + BigInt(unspent), 0n),
        returnedLeases: BigInt(returned.length),
      };
    },
  });
}
