import type { VerifyRequest } from "@gatehouse/proto/authz";
import { Failure, invalid, type Violation } from "@gatehouse/service/failure";
import type { VerifyCall } from "../domain/verify-call.ts";

/** As many as a person reads; a client that gets one field wrong gets it wrong in each request. */
const MAX_NAMED = 20;

/**
 * Reads every request of a batch by `read`, which is told where each stands. Throws Failure INVALID_ARGUMENT naming what
 * is bad in all of them, up to 20 fields.
 */
export function batchCalls(
  requests: readonly VerifyRequest[],
  read: (request: VerifyRequest, at: string) => VerifyCall,
): VerifyCall[] {
  const bad: Violation[] = [];
  const calls: VerifyCall[] = [];
  for (const [i, request] of requests.entries()) {
    try {
      calls.push(read(request, `requests[${i}].`));
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== "INVALID_ARGUMENT") throw error;
      bad.push(...error.violations);
      if (bad.length >= MAX_NAMED) break;
    }
  }
  if (bad.length > 0) throw invalid(bad.slice(0, MAX_NAMED));
  return calls;
}
