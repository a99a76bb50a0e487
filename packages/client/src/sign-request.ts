import { type RequestToSign, signedHeaders } from "@gatehouse/keys";

export type { RequestToSign };

/**
 * The headers that sign a request to an API behind Gatehouse, for a key that signs instead of presenting itself. Sign
 * each request anew, and a retry too: a nonce is taken once, and a signature holds for half a minute unless the
 * provider says otherwise. Throws RangeError naming each value that cannot be signed, such as a path that is not
 * percent-encoded, and TypeError for a secret that is not of the algorithm.
 */
export function signRequest(request: RequestToSign): Record<string, string> {
  return signedHeaders(request);
}
