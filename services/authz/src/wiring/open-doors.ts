import type { Principal } from "@gatehouse/access";
import { accessGuard } from "@gatehouse/access/guard";
import { AuthzService } from "@gatehouse/proto/authz";
import { Authorization } from "@gatehouse/proto/envoy";
import { type ExtraEndpoint, type Guard, type Log, type Route, route } from "@gatehouse/service";
import type { AuthzConfig } from "../config.ts";
import type { CachedDirectory } from "../domain/cached-directory.ts";
import type { Explainer } from "../domain/explain.ts";
import type { MeterBook } from "../domain/meter-book.ts";
import { openVerifier } from "../domain/open-verifier.ts";
import type { Verifier, VerifierOptions } from "../domain/verify.ts";
import { authzHandlers } from "../rpc/authz-service.ts";
import { callerAsFresh } from "../rpc/caller-as-fresh.ts";
import { explainHandler } from "../rpc/explain.ts";
import { extAuthzHandlers } from "../rpc/ext-authz.ts";
import { forwardAuth } from "../rpc/forward-auth.ts";
import { openGuard } from "../rpc/open-guard.ts";
import type { RequestMemory } from "../rpc/request-memory.ts";
import { verifierGuard } from "../rpc/verifier-guard.ts";
import { batchVerifyBytes, verifyBytes } from "../rpc/verify-bytes.ts";

export interface DoorsOptions extends Pick<VerifierOptions, "format" | "cache"> {
  readonly config: AuthzConfig;
  readonly verifier: Verifier;
  readonly explainer: Explainer;
  readonly directory: CachedDirectory;
  readonly memory: RequestMemory;
  readonly meters: MeterBook;
  readonly catchUp: Parameters<typeof callerAsFresh>[1]["catchUp"];
  readonly onBatch: (calls: number) => void;
  readonly log: Log;
}

export interface Doors {
  readonly routes: readonly Route<Principal | undefined>[];
  readonly guard: Guard<Principal | undefined>;
  readonly extra: ExtraEndpoint;
}

/** Where calls come in: AuthzService, Envoy's ext_authz, and gateways' plain HTTP, with the guard before them. */
export function openDoors(options: DoorsOptions): Doors {
  const { verifier, explainer, memory, meters, catchUp, onBatch, log } = options;
  const { trustedProxies } = options.config;
  const guard = guardOf(options);
  const explain = explainHandler({ explainer, meters, trustedProxies });
  const handlers = callerAsFresh(
    authzHandlers({ verifier, memory, meters, explain, trustedProxies, onBatch }),
    { guard, catchUp },
  );
  const fault = (error: unknown) => log.error({ err: error }, "a gateway's call failed by a fault");
  return {
    routes: [
      route(AuthzService, handlers, { verify: verifyBytes, batchVerify: batchVerifyBytes }),
      route(Authorization, extAuthzHandlers({ verify: handlers.verify, fault })),
    ],
    guard,
    extra: forwardAuth(fault),
  };
}

function guardOf({ config, format, cache, directory, log }: DoorsOptions): Guard<Principal | undefined> {
  const { trustedProxies, openVerify } = config;
  const serviceSecret = config.serviceSecret.reveal();
  const closed = verifierGuard(accessGuard({ directory, format, serviceSecret, trustedProxies }));
  if (!openVerify.enabled) return closed;
  log.warn(openVerify, "calls without a credential are let in (GATEHOUSE_OPEN_VERIFY)");
  return openGuard(
    closed,
    openVerifier(() => cache.rootId),
  );
}
