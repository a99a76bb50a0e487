import { decodeFreshness, type Freshness } from "@gatehouse/changefeed";
import type { AuthzService } from "@gatehouse/proto/authz";
import { accessRule, type Call, type Guard, type Handlers, type Reply } from "@gatehouse/service";
import { settled } from "./settled.ts";

export interface CallerAsFreshOptions<P> {
  readonly guard: Guard<P>;
  /** Follows identity up to a token of it. Where that cannot be done it answers false, or rejects. */
  readonly catchUp: (token: Freshness) => boolean | Promise<boolean>;
}

/**
 * A freshness token binds for the key that asks, too: who shows the token of a revocation is not let in by what was
 * known before it, be it the verifier's own key that was revoked. The guard has not seen the request, so it looks once
 * more when the feed has come as far as the token. A call without tokens costs one look at a list.
 */
export function callerAsFresh<P>(
  handlers: Handlers<typeof AuthzService, P>,
  { guard, catchUp }: CallerAsFreshOptions<P>,
): Handlers<typeof AuthzService, P> {
  async function readmitted<T extends object>(
    shown: readonly string[],
    call: Call<P>,
    handle: () => Reply<T>,
  ): Promise<T> {
    const tokens = [...new Set(shown)].flatMap((token) => decodeFreshness(token) ?? []);
    const ofIdentity = tokens.filter(({ source }) => source === "identity");
    // Where it cannot come that far, the handler finds the same for the key that is asked about, and says so.
    await Promise.allSettled(ofIdentity.map(catchUp));
    const principal = await guard(call.method, accessRule(call.method))(call as Call<undefined>);
    // Where the guard's first answer is.
    Object.assign(call, { principal });
    return settled(handle());
  }

  return {
    verify(request, call) {
      if (request.atLeastAsFresh.length === 0) return handlers.verify(request, call);
      return readmitted(request.atLeastAsFresh, call, () => handlers.verify(request, call));
    },
    batchVerify(request, call) {
      const shown = request.requests.flatMap(({ atLeastAsFresh }) => atLeastAsFresh);
      if (shown.length === 0) return handlers.batchVerify(request, call);
      return readmitted(shown.slice(0, MAX_SHOWN), call, () => handlers.batchVerify(request, call));
    },
    heartbeat(request, call) {
      if (request.atLeastAsFresh.length === 0) return handlers.heartbeat(request, call);
      return readmitted(request.atLeastAsFresh, call, () => handlers.heartbeat(request, call));
    },
    explain(request, call) {
      if (request.atLeastAsFresh.length === 0) return handlers.explain(request, call);
      return readmitted(request.atLeastAsFresh, call, () => handlers.explain(request, call));
    },
  };
}

/** As many as a batch may show, whose entries are counted by its handler. */
const MAX_SHOWN = 8000;
