import { isId } from "@gatehouse/keys";
import type { PeerCertificate } from "@gatehouse/service";
import { unauthenticated } from "@gatehouse/service/failure";

/** How a URI in a certificate names a key: `gatehouse:key_…`. */
const SCHEME = "gatehouse:";

/**
 * The id of the key that a client's certificate stands for: that of its one URI `gatehouse:key_…`, else its common
 * name. Throws Failure UNAUTHENTICATED where it is of no CA that is trusted, is over, or names no key or two.
 */
export function keyIdOfCertificate(certificate: PeerCertificate, nowMs: number): string {
  const { isTrusted, expiresAtMs, commonName, uris } = certificate;
  const named = uris.filter((uri) => uri.startsWith(SCHEME)).map((uri) => uri.slice(SCHEME.length));
  const name = named.length === 0 ? commonName : named.length === 1 ? named[0] : undefined;
  if (!isTrusted || nowMs >= expiresAtMs || name === undefined || !isId("key", name)) {
    throw unauthenticated("CREDENTIAL_INVALID");
  }
  return name;
}
