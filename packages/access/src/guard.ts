import { hash, timingSafeEqual } from "node:crypto";
import type { KeyFormat } from "@gatehouse/keys";
import { type Access, Caller } from "@gatehouse/proto/common";
import type { Call, Guard } from "@gatehouse/service";
import { denied, unauthenticated } from "@gatehouse/service/failure";
import { type AddressList, isAddressAllowed, isAddressBound } from "./address.ts";
import { keyNamedBy } from "./certificate.ts";
import { addressOfCall } from "./client-address.ts";
import { authenticate, authenticateById, type Directory, type Principal } from "./principal.ts";
import { isProvider } from "./reach.ts";
import { termsRequired } from "./terms.ts";

/** Short enough to guess is as good as none. */
const MIN_SECRET_LENGTH = 32;

export interface AccessGuardOptions {
  readonly directory: Directory;
  readonly format: KeyFormat;
  /** What Gatehouse's own services present to each other; at least 32 characters. */
  readonly serviceSecret: string;
  readonly nowMs?: () => number;
  /** The proxies whose X-Forwarded-For is believed; none by default. */
  readonly trustedProxies?: AddressList | undefined;
}

/**
 * Enforces the access rule that each RPC states in its proto: who is calling, whether its scope holds, whether
 * only the provider may. What nodes the caller may act on is up to the handler, which knows the request.
 */
export function accessGuard(options: AccessGuardOptions): Guard<Principal> {
  const { directory, format, serviceSecret, nowMs = Date.now } = options;
  const permit = permitFrom(addressOfCall(options.trustedProxies));
  const service = serviceGuard(serviceSecret);
  return (_method, rule) => {
    switch (rule.caller) {
      case Caller.SERVICE:
        return service;
      case Caller.KEY:
      case Caller.PROVIDER:
        return (call) => {
          const principal = principalOfCall(call, format, directory, nowMs);
          return principal instanceof Promise
            ? principal.then((known) => permit(known, rule, call))
            : permit(principal, rule, call);
        };
      case Caller.ANYONE:
        // What the request holds is the credential, and the handler's to check; there is no principal.
        return () => undefined as never;
      default:
        throw new Error(`no guard for caller ${rule.caller}`);
    }
  };
}

/** The credential of a call. Throws Failure UNAUTHENTICATED where there is none. */
export function presentedKey(call: Pick<Call, "header">): string {
  const presented = credentialOf(call);
  if (presented === undefined) throw unauthenticated("CREDENTIAL_MISSING");
  return presented;
}

/** Whether a call says in any way who makes it, rightly or wrongly. */
export function hasCredential(call: Pick<Call, "header" | "peerCertificate">): boolean {
  const isPresented = call.header("authorization") !== undefined || (call.header("x-api-key") ?? "") !== "";
  return isPresented || call.peerCertificate !== undefined;
}

// A key that is presented is meant; a certificate may be there for other reasons.
function principalOfCall(
  call: Call<undefined>,
  format: KeyFormat,
  directory: Directory,
  nowMs: () => number,
): Principal | Promise<Principal> {
  const presented = credentialOf(call);
  if (presented !== undefined) return authenticate(presented, format, directory, nowMs);
  const { peerCertificate } = call;
  if (peerCertificate === undefined) throw unauthenticated("CREDENTIAL_MISSING");
  const keyId = keyNamedBy(peerCertificate, nowMs());
  if (keyId === undefined) throw unauthenticated("CREDENTIAL_INVALID");
  return authenticateById(keyId, directory, nowMs);
}

/** `authorization: Bearer <key>`, or `x-api-key: <key>`. */
function credentialOf(call: Pick<Call, "header">): string | undefined {
  const authorization = call.header("authorization");
  if (authorization !== undefined) {
    const match = /^Bearer +(\S+)$/i.exec(authorization);
    if (match === null) throw unauthenticated("CREDENTIAL_INVALID");
    return match[1]!;
  }
  return call.header("x-api-key") || undefined;
}

// In the order of the decision codes.
function permitFrom(addressOf: (call: Call<undefined>) => string | undefined) {
  return (principal: Principal, rule: Access, call: Call<undefined>): Principal => {
    const { view, grant } = principal;
    const terms = rule.beforeTerms ? undefined : termsRequired(view.chain, rule.scope);
    if (terms !== undefined) {
      throw denied("TERMS_REQUIRED", `the organization has yet to accept ${terms.document} ${terms.version}`);
    }
    // Asked first, because most keys are held to none and finding the address costs.
    if (isAddressBound(view) && !isAddressAllowed(view, addressOf(call))) {
      throw denied("ADDRESS_DENIED", "the key may not be used from this address");
    }
    if (rule.scope !== "" && !grant.allows(rule.scope)) {
      throw denied("SCOPE_DENIED", `the key does not hold the scope ${rule.scope}`);
    }
    if (rule.caller === Caller.PROVIDER && !isProvider(view)) {
      throw denied("PROVIDER_ONLY", "only the provider's keys may do this");
    }
    return principal;
  };
}

// Internal handlers get no principal: they answer to a service, not to a key.
function serviceGuard(secret: string): (call: Call<undefined>) => Principal {
  if (secret.length < MIN_SECRET_LENGTH) throw new Error("the service secret is too short");
  const expected = digest(`Bearer ${secret}`);
  return (call) => {
    const authorization = call.header("authorization");
    if (authorization === undefined) throw unauthenticated("CREDENTIAL_MISSING");
    if (!timingSafeEqual(digest(authorization), expected)) throw unauthenticated("CREDENTIAL_INVALID");
    return undefined as never;
  };
}

// Of equal length whatever was presented, so that comparing takes the same time.
function digest(text: string): Buffer {
  return hash("sha256", text, "buffer");
}
