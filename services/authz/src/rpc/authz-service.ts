import type { Principal } from "@gatehouse/access";
import type { AuthzService, VerifyRequest, VerifyResponse } from "@gatehouse/proto/authz";
import { type Handlers, invalid, type Later } from "@gatehouse/service";
import type { Decision } from "../domain/decision.ts";
import type { Verifier, VerifyCall } from "../domain/verify.ts";
import type { RequestMemory } from "./request-memory.ts";
import { verifyCall } from "./verify-call.ts";
import { verifyReply } from "./verify-reply.ts";

export interface AuthzHandlersOptions {
  readonly verifier: Verifier;
  readonly memory: RequestMemory;
}

const MAX_BATCH = 1000;

/** The data plane. A decision that charged is answered only once the journal has it. */
export function authzHandlers({
  verifier,
  memory,
}: AuthzHandlersOptions): Handlers<typeof AuthzService, Principal> {
  function decide(call: VerifyCall, principal: Principal): Later<VerifyResponse> | Promise<VerifyResponse> {
    const decision = verifier.verify(call, principal.view);
    return decision instanceof Promise ? decision.then(written) : whenWritten(decision);
  }

  function whenWritten(decision: Decision): Later<VerifyResponse> {
    return {
      whenReady(callback) {
        const { receipt } = decision;
        if (receipt === undefined) return callback(undefined, verifyReply(decision));
        receipt.whenSettled((error) =>
          callback(undefined, verifyReply(error ? unrecorded(decision) : decision)),
        );
      },
    };
  }

  function written(decision: Decision): Promise<VerifyResponse> {
    return settled(whenWritten(decision));
  }

  function once(request: VerifyRequest, call: VerifyCall, principal: Principal) {
    if (request.requestId === "") return decide(call, principal);
    return memory.once(principal.view.key.id, request.requestId, async () =>
      settled(decide(call, principal)),
    );
  }

  return {
    verify: (request, { principal }) => once(request, verifyCall(request), principal),

    async batchVerify({ requests }, { principal }) {
      if (requests.length === 0 || requests.length > MAX_BATCH) {
        throw invalid([{ field: "requests", description: `must have 1 to ${MAX_BATCH} entries` }]);
      }
      // All are read before any is charged: a batch with a bad call charges nothing.
      const calls = requests.map((request, i) => verifyCall(request, `requests[${i}].`));
      const responses = calls.map((call, i) => settled(once(requests[i]!, call, principal)));
      return { responses: await Promise.all(responses) };
    },
  };
}

// What could not be written down was not admitted; its units are back in their leases by now.
function unrecorded(decision: Decision): Decision {
  return { ...decision, code: "INDETERMINATE", reason: "the decision could not be recorded; try again" };
}

async function settled<T>(reply: Later<T> | Promise<T>): Promise<T> {
  if (reply instanceof Promise) return reply;
  return new Promise((resolve, reject) => {
    reply.whenReady((error, value) => (error ? reject(error) : resolve(value as T)));
  });
}
