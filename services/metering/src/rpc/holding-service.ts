import type { Principal } from "@gatehouse/access";
import { HoldingService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { type Keeper, readHoldings } from "../domain/holdings.ts";
import type { Mirror } from "../domain/mirror.ts";

export interface HoldingDependencies {
  readonly mirror: Pick<Mirror, "findChain">;
  readonly keepers: readonly Keeper[];
}

/** What is held for accounts, for identity before it closes one. */
export function holdingRoute({ mirror, keepers }: HoldingDependencies): Route<Principal> {
  return route<typeof HoldingService, Principal>(HoldingService, {
    async getHoldings({ accountId }) {
      const holdings = await readHoldings(mirror, keepers, accountId);
      return {
        holdings: holdings.map(({ accountId, currency = "", amount, decisionId = "" }) => ({
          accountId,
          currency,
          amount,
          decisionId,
        })),
      };
    },
  });
}
