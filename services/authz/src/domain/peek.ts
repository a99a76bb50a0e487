import type { Journal } from "./journal.ts";
import { Verifier, type VerifierOptions } from "./verify.ts";

/**
 * Decides as the other verifiers do, and leaves no trace of it: no use of a key is noted, no denial counted, no nonce
 * taken. It shows no upstream credential.
 */
export function peekingVerifier(options: VerifierOptions): Verifier {
  const signatures: VerifierOptions["signatures"] = {
    checkInVain: () => {},
    faultOf: (entry, signing, signed, now) => options.signatures.faultOf(entry, signing, signed, now),
    prepare: () => undefined,
    claim: async () => undefined,
    admitted: () => {},
  };
  const upstream: VerifierOptions["upstream"] = {
    of: (target, verifier) => (options.upstream.of(target, verifier) === "sealed" ? "sealed" : undefined),
  };
  return new Verifier({ ...options, signatures, upstream, activity: { used: () => {} }, journal: forgetful });
}

const forgetful: Journal = {
  series: () => nothing,
  lease: () => nothing,
  granted: () => {},
  charge: () => {},
  spend: () => {},
  reserve: () => {},
  close: () => {},
  denied: () => {},
  whenWritten: (callback) => void setImmediate(callback),
};
const nothing = {};
