import type { Principal } from "@gatehouse/access";
import { LeaseService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import type { AcquireLoop } from "../domain/acquire-loop.ts";
import type { CatchUp } from "../domain/catch-up.ts";
import type { LimitStore } from "../domain/limit-store.ts";
import { readBuckets } from "../domain/read-limits.ts";
import type { Recalls } from "../domain/recalls.ts";
import type { WalletReadings } from "../domain/wallet-readings.ts";
import {
  acquireRequest,
  acquireResponse,
  checkHolder,
  readBucketsRequest,
  readBucketsResponse,
} from "./lease-wire.ts";

export interface LeaseDependencies {
  readonly acquires: AcquireLoop;
  readonly recalls: Recalls;
  readonly catchUp: CatchUp;
  readonly limits: LimitStore;
  readonly wallets: WalletReadings;
}

export function leaseRoute(dependencies: LeaseDependencies): Route<Principal> {
  const { acquires, recalls, catchUp, limits, wallets } = dependencies;
  return route<typeof LeaseService, Principal>(LeaseService, {
    async acquire(request) {
      const asked = acquireRequest(request);
      await catchUp(request.identityFreshness);
      return acquireResponse(await acquires.acquire(asked));
    },

    async readBuckets(request) {
      const asked = readBucketsRequest(request);
      await catchUp(request.identityFreshness);
      const [buckets, money] = await Promise.all([
        readBuckets(limits, asked),
        wallets.readMoney(asked.nodeIds, asked.holder),
      ]);
      return readBucketsResponse(buckets, money);
    },

    async *watchRecalls({ holder }, { signal, draining }) {
      checkHolder(holder);
      for await (const limitIds of recalls.watch(holder, AbortSignal.any([signal, draining]))) {
        yield { limitIds: [...limitIds] };
      }
    },
  });
}
