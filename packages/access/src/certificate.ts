import { isId } from "@gatehouse/keys";
import type { PeerCertificate } from "@gatehouse/service";

/** How a URI in a certificate names a key: `gatehouse:key_…`. */
const SCHEME = "gatehouse:";

/**
 * The id of the key that a client's certificate stands for: that of its one URI `gatehouse:key_…`, else its common
 * name. Undefined where it is of no CA that is trusted, is over, or names no key or two.
 */
export function keyNamedBy(certificate: PeerCertificate, nowMs: number): string | undefined {
  const { isTrusted, expiresAtMs, commonName, uris } = certificate;
  if (!isTrusted || nowMs >= expiresAtMs) return undefined;
  const named = uris.filter((uri) => uri.startsWith(SCHEME)).map((uri) => uri.slice(SCHEME.length));
  const name = named.length === 0 ? commonName : named.length === 1 ? named[0] : undefined;
  return name !== undefined && isId("key", name) ? name : undefined;
}
