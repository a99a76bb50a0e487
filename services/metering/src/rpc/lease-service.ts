import type { Principal } from "@gatehouse/access";
import { LeaseService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import type { AcquireLoop } from "../domain/acquire-loop.ts";
import type { CatchUp } from "../domain/catch-up.ts";
import type { LimitStore } from "../domain/limit-store.ts";
import { readBuckets } from "../domain/read-limits.ts";
import type { Recalls } from "../domain/recalls.ts";
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
}

export function leaseRoute({ acquires, recalls, catchUp, limits }: LeaseDependencies): Route<Principal> {
  return route<typeof LeaseService, Principal>(LeaseService, {
    async acquire(request) {
      const asked = acquireRequest(request);
      await catchUp(request.identityFreshness);
      return acquireResponse(await acquires.acquire(asked));
    },

    async readBuckets(request) {
      const asked = readBucketsRequest(request);
      await catchUp(request.identityFreshness);
      return readBucketsResponse(await readBuckets(limits, asked));
    },

    async *watchRecalls({ holder }, { signal, draining }) {
      checkHolder(holder);
      for await (const limitIds of recalls.watch(holder, AbortSignal.any([signal, draining]))) {
        yield { limitIds: [...limitIds] };
      }
    },
  });
}
