import { isIntegrationAllowed, type Principal } from "@gatehouse/access";
import { denied, invalid } from "@gatehouse/service/failure";
import { OPEN } from "../domain/open-verifier.ts";
import type { VerifyCall } from "../domain/verify-call.ts";

/**
 * Whether a verifier may ask this at all. It speaks only for integrations that its own key is not barred from: what a
 * gateway states is believed, and so decides which keys are let in. And it reserves only what it could settle: that is
 * done by its own key. Throws Failure PERMISSION_DENIED, INVALID_ARGUMENT.
 */
export function checkVerifierMay(call: VerifyCall, principal: Principal | undefined): void {
  const { integration, reserveTtlMs, at } = call;
  if (principal === undefined || (integration === "" && reserveTtlMs === undefined)) return;
  if (!isIntegrationAllowed(principal.view, integration)) {
    throw denied("INTEGRATION_DENIED", `${at}integration: the verifier's key is barred from ${integration}`);
  }
  if (reserveTtlMs !== undefined && principal.view.key.id === OPEN) {
    throw invalid([
      { field: `${at}reserve_ttl`, description: "takes a verifier key, which alone can settle it" },
    ]);
  }
}
