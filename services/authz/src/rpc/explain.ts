import type { AddressList, Principal } from "@gatehouse/access";
import type { AuthzService } from "@gatehouse/proto/authz";
import type { Handlers } from "@gatehouse/service";
import type { Explainer } from "../domain/explain.ts";
import type { MeterBook } from "../domain/meter-book.ts";
import { ExplainGate } from "./explain-gate.ts";
import { explainedCall, explainReply } from "./explain-wire.ts";
import { unlessUnavailable } from "./unless-unavailable.ts";
import { checkVerifierMay } from "./verifier-may.ts";
import { verifyCall } from "./verify-call.ts";

export interface ExplainHandlerOptions {
  readonly explainer: Explainer;
  readonly meters: MeterBook;
  /** The proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies: AddressList | undefined;
}

/** Explain. The principal is undefined where the verifier's own key cannot be checked now. */
export function explainHandler({
  explainer,
  meters,
  trustedProxies,
}: ExplainHandlerOptions): Handlers<typeof AuthzService, Principal | undefined>["explain"] {
  const gate = new ExplainGate();
  return async (request, { principal }) => {
    const call = verifyCall(explainedCall(request), trustedProxies);
    checkVerifierMay(call, principal);
    if (principal === undefined) return explainReply(explainer.undecided());
    const { view } = principal;
    return gate.run(view.key.id, async () => {
      const known = await meters.check([call]).then(() => true, unlessUnavailable);
      return explainReply(known ? await explainer.explain(call, view) : explainer.undecided());
    });
  };
}
