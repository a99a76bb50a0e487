import type { Principal } from "@gatehouse/access";
import { type ChangeLog, changesAfter } from "@gatehouse/changefeed";
import { FeedService } from "@gatehouse/proto/metering";
import { invalid, type Route, route, type Violation } from "@gatehouse/service";
import type { PriceBookStore } from "../domain/price-book.ts";

const MAX_CHANGES = 1000;

/**
 * metering's change log. It carries which nodes' limits or wallets changed, which themselves travel with Acquire, and
 * that prices did, which are few and read whole.
 */
export function feedRoute(log: ChangeLog, prices: PriceBookStore): Route<Principal> {
  return route<typeof FeedService, Principal>(FeedService, {
    async getHead() {
      return { head: positionMessage(await log.head()) };
    },

    async readPriceBook() {
      const book = await prices.readBook();
      return {
        prices: book.prices.map(({ micros, perUnits, effectiveAtMs, ...price }) => ({
          ...price,
          micros: BigInt(micros),
          perUnits: BigInt(perUnits),
          effectiveAtMs: BigInt(effectiveAtMs),
        })),
        head: positionMessage(book.position),
      };
    },

    listChanges({ after, limit }) {
      const violations: Violation[] = [];
      if (limit < 0 || limit > MAX_CHANGES) {
        violations.push({ field: "limit", description: `must be 1 to ${MAX_CHANGES}` });
      }
      if (after === undefined) violations.push({ field: "after", description: "is required" });
      if (after === undefined || violations.length > 0) throw invalid(violations);
      const from = { incarnation: after.incarnation, revision: Number(after.revision) };
      return log.snapshot(async (manager, head) => {
        const changes = await changesAfter(manager, head, from, limit || MAX_CHANGES);
        return {
          changes: changes.map(({ revision, entityId }) => ({
            revision: BigInt(revision),
            nodeId: entityId,
          })),
          head: positionMessage(head),
        };
      });
    },
  });
}

function positionMessage({ incarnation, revision }: { incarnation: string; revision: number }) {
  return { incarnation, revision: BigInt(revision) };
}
