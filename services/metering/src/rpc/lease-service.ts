import type { Principal } from "@gatehouse/access";
import { LeaseService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { Failure } from "@gatehouse/service/failure";
import type { AcquireLoop } from "../domain/acquire-loop.ts";
import type { CatchUp } from "../domain/catch-up.ts";
import type { Recalls } from "../domain/recalls.ts";
import { acquireRequest, acquireResponse, checkHolder } from "./lease-wire.ts";

export interface LeaseDependencies {
  readonly acquires: AcquireLoop;
  readonly recalls: Recalls;
  readonly catchUp: CatchUp;
}

export function leaseRoute({ acquires, recalls, catchUp }: LeaseDependencies): Route<Principal> {
  return route<typeof LeaseService, Principal>(LeaseService, {
    async acquire(request) {
      const asked = acquireRequest(request);
      await catchUp(request.identityFreshness);
      return acquireResponse(await acquires.acquire(asked));
    },

    readBuckets() {
      throw new Failure({ code: "UNIMPLEMENTED", reason: "INTERNAL", message: "not yet" });
    },

    async *watchRecalls({ holder }, { signal, draining }) {
      checkHolder(holder);
      for await (const limitIds of recalls.watch(holder, AbortSignal.any([signal, draining]))) {
        yield { limitIds: [...limitIds] };
      }
    },
  });
}
