import type { AddressList, Principal } from "@gatehouse/access";
import type { AuthzService, VerifyRequest, VerifyResponse } from "@gatehouse/proto/authz";
import { type Handlers, invalid, type Later } from "@gatehouse/service";
import type { Decision } from "../domain/decision.ts";
import type { MeterBook } from "../domain/meter-book.ts";
import { undecidableFor } from "../domain/refusal.ts";
import { during } from "../domain/trace.ts";
import type { Verifier } from "../domain/verify.ts";
import type { VerifyCall } from "../domain/verify-call.ts";
import type { Caller } from "../domain/waiters.ts";
import { batchCalls } from "./batch-calls.ts";
import type { RequestMemory } from "./request-memory.ts";
import { allSettled, settled } from "./settled.ts";
import { unlessUnavailable } from "./unless-unavailable.ts";
import { checkVerifierMay } from "./verifier-may.ts";
import { beatCall, verifyCall } from "./verify-call.ts";
import { beatReply, verifyReply } from "./verify-reply.ts";

export interface AuthzHandlersOptions {
  readonly verifier: Verifier;
  readonly memory: RequestMemory;
  readonly meters: MeterBook;
  readonly explain: Handlers<typeof AuthzService, Principal | undefined>["explain"];
  /** The proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies: AddressList | undefined;
  /** Told how many calls each BatchVerify has. */
  readonly onBatch?: ((calls: number) => void) | undefined;
}

const MAX_BATCH = 1000;
/** Retries of a call that is refused time and again wait for each other: one more at a time is decided. */
const MAX_RECALLS = 10;

/**
 * The data plane. A decision that charged is answered only once the journal has it. The principal is undefined
 * where the verifier's own key cannot be checked now.
 */
export function authzHandlers({
  verifier,
  memory,
  meters,
  explain,
  trustedProxies,
  onBatch,
}: AuthzHandlersOptions): Handlers<typeof AuthzService, Principal | undefined> {
  function decide(
    { requestId }: VerifyRequest,
    call: VerifyCall,
    principal: Principal | undefined,
    caller: Caller,
  ): Later<VerifyResponse> | Promise<VerifyResponse> | VerifyResponse {
    if (principal === undefined) return verifyReply(verifier.undecided());
    if (requestId !== "") return decideOnce(requestId, call, principal, caller);
    const decision = verifier.verify(call, principal.view, caller);
    return decision instanceof Promise ? replyTo(decision) : replyLater(decision);
  }

  // What a retry was charged for stands; all else is decided anew, charging nothing.
  async function decideOnce(
    requestId: string,
    call: VerifyCall,
    { view }: Principal,
    caller: Caller,
  ): Promise<VerifyResponse> {
    // No pause between finding nothing and remembering: two retries of one turn would both find nothing.
    const asker = { keyId: view.key.id, organizationId: view.chain[0]?.organizationId ?? "" };
    for (let time = 1; time <= MAX_RECALLS; time++) {
      const known = memory.recall(asker, requestId, call);
      if (known === undefined) {
        const decision = recorded(verifier.verify(call, view, caller));
        memory.remember(asker, requestId, call, decision);
        return verifyReply(await decision);
      }
      const charge = await known;
      if (charge === undefined) continue;
      const again = await verifier.verify(asPeek(call), view, caller);
      return verifyReply(again.code === "VALID" ? { ...again, ...charge } : again);
    }
    return verifyReply(verifier.undecided(undecidableFor("attempts")));
  }

  // Nothing can be decided where identity cannot be asked about a meter; known ones cost nothing.
  async function onceMetersAreKnown(
    calls: readonly VerifyCall[],
    principal: Principal | undefined,
  ): Promise<Principal | undefined> {
    const check = during(calls[0]!.trace, "read meters", () => meters.check(calls));
    return (await check.then(() => true, unlessUnavailable)) ? principal : undefined;
  }

  return {
    verify(request, caller) {
      const { principal } = caller;
      const call = verifyCall(request, trustedProxies, "", caller.trace);
      checkVerifierMay(call, principal);
      if (meters.knows(call)) return decide(request, call, principal, caller);
      return onceMetersAreKnown([call], principal).then((known) =>
        settled(decide(request, call, known, caller)),
      );
    },

    async batchVerify({ requests }, caller) {
      if (requests.length === 0 || requests.length > MAX_BATCH) {
        throw invalid([{ field: "requests", description: `must have 1 to ${MAX_BATCH} entries` }]);
      }
      onBatch?.(requests.length);
      // All are read before any is charged: a batch with a bad call charges nothing.
      const calls = batchCalls(requests, (request, at) => {
        const call = verifyCall(request, trustedProxies, at, caller.trace);
        checkVerifierMay(call, caller.principal);
        return call;
      });
      const known = await onceMetersAreKnown(calls, caller.principal);
      return {
        responses: await allSettled(calls.map((call, i) => decide(requests[i]!, call, known, caller))),
      };
    },

    explain,

    async heartbeat(request, caller) {
      const { principal } = caller;
      const call = beatCall(request, trustedProxies);
      if (principal === undefined) return beatReply(verifier.undecided());
      return beatReply(await verifier.verify(call, principal.view, caller));
    },
  };
}

// What was admitted once is, by its age and its nonce.
function asPeek(call: VerifyCall): VerifyCall {
  const needs = call.needs.map(({ meter }) => ({ meter, units: 0 }));
  const signed = call.signed && { ...call.signed, wasAdmitted: true };
  return { ...call, needs, signed, reserveTtlMs: undefined };
}

// No promise on the warm path: the replies of a turn leave together, after its one write.
function replyLater(decision: Decision): Later<VerifyResponse> {
  return {
    whenReady: (callback) =>
      whenRecorded(decision, (final) => {
        let reply: VerifyResponse;
        try {
          reply = verifyReply(final);
        } catch (fault) {
          callback(fault);
          return;
        }
        callback(undefined, reply);
      }),
  };
}

async function replyTo(decision: Promise<Decision>): Promise<VerifyResponse> {
  return verifyReply(await recorded(decision));
}

async function recorded(decision: Decision | Promise<Decision>): Promise<Decision> {
  const made = await decision;
  return new Promise((resolve) => whenRecorded(made, resolve));
}

// What could not be written down was not admitted; its units are back in their leases by then, unless the disk hangs:
// then it is answered like a call whose answer was lost, and stays charged if it was written down after all.
function whenRecorded(decision: Decision, callback: (final: Decision) => void): void {
  const { receipt } = decision;
  if (receipt === undefined) callback(decision);
  else
    receipt.whenSettled((error) =>
      callback(error === undefined ? decision : unrecorded(decision, receipt.isLate)),
    );
}

// Of what it would have been charged it says nothing.
function unrecorded(decision: Decision, isLate: boolean): Decision {
  const { code, retryAfterMs } = undecidableFor("spool");
  return {
    ...decision,
    code,
    reason: isLate
      ? "whether the decision is recorded is not known yet, so it may have been charged; try again"
      : "the decision could not be recorded; try again",
    retryAfterMs,
    binding: undefined,
    warnings: [],
    cost: undefined,
    reservedUntilMs: undefined,
  };
}
