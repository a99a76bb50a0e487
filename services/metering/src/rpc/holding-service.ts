import type { Principal } from "@gatehouse/access";
import { HoldingService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { type Keeper, readHoldings } from "../domain/holdings.ts";
import { type MoveHoldingsDependencies, moveHoldings } from "../domain/move-holdings.ts";

export interface HoldingDependencies extends MoveHoldingsDependencies {
  readonly keepers: readonly Keeper[];
}

/** What is held for accounts, for identity before it closes one. */
export function holdingRoute(dependencies: HoldingDependencies): Route<Principal> {
  const { mirror, keepers } = dependencies;
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

    async moveMoney({ accountId, toAccountId, actorKeyId }) {
      await moveHoldings(dependencies, { accountId, toAccountId, actorKeyId });
      return {};
    },
  });
}
