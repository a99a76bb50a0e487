/*
 * What a client signs: eight lines, joined by single line feeds, without one at the end, in UTF-8.
 *
 *   GATEHOUSE-SIGNED-1
 *   key_00000000000000000001                              the key that signs
 *   POST                                                  the method as it is sent
 *   /v1/orders?dry=true                                   path and query as they are sent, still percent-encoded
 *   main-desk                                             the account acted on; empty for the key's own
 *   1800000000000                                         when it is signed: Unix milliseconds
 *   5f0c7e0d93b84a7e                                      the nonce
 *   e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855    SHA-256 of the body, lower-case hexadecimal
 *
 * No value can hold a line feed, so no two requests have the same lines. The key is among them because one Ed25519 key
 * pair may be behind two keys: without it, what was signed for the one could be sent again as the other's.
 */
import { hash } from "node:crypto";
import { isId } from "./id.ts";

/** The first line of what is signed. */
export const SIGNED_FORM = "GATEHOUSE-SIGNED-1";

/** What a signature speaks for. */
export interface SignedContent {
  /** `key_…` */
  readonly keyId: string;
  /** As it is sent; methods are case-sensitive. */
  readonly method: string;
  /** Path and query as they are sent, still percent-encoded. */
  readonly path: string;
  /** Id or slug; empty for the key's own account. */
  readonly account: string;
  /** Unix milliseconds. */
  readonly timestampMs: number;
  /** 8 to 100 visible ASCII characters. */
  readonly nonce: string;
  /** {@link contentSha256} of the body. */
  readonly contentSha256: string;
}

/** The lines to sign. Throws RangeError naming each value that has no place in them. */
export function canonicalRequest(content: SignedContent): string {
  const lines = [SIGNED_FORM, ...FIELDS.map(([name]) => String(content[name]))];
  const bad = FIELDS.filter(([, holds], i) => !holds(lines[i + 1]!)).map(([name]) => name);
  if (bad.length > 0) throw new RangeError(`cannot be signed: ${bad.join(", ")}`);
  return lines.join("\n");
}

/** Does it say of itself that it is in this form? */
export function isSignedForm(text: string): boolean {
  return text === SIGNED_FORM || text.startsWith(`${SIGNED_FORM}\n`);
}

/** Reads the lines back. Undefined where they are not exactly what {@link canonicalRequest} makes of something. */
export function parseCanonicalRequest(text: string): SignedContent | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const [form, ...lines] = text.split("\n");
  if (form !== SIGNED_FORM || lines.length !== FIELDS.length) return undefined;
  if (!FIELDS.every(([, holds], i) => holds(lines[i]!))) return undefined;
  const [keyId, method, path, account, timestamp, nonce, contentSha256] = lines as Lines;
  return { keyId, method, path, account, timestampMs: Number(timestamp), nonce, contentSha256 };
}

/** The SHA-256 of a body, as it is signed. A request without a body has an empty one. */
export function contentSha256(body: string | Uint8Array = ""): string {
  return hash("sha256", body, "hex");
}

/** Can it be a nonce? */
export function isNonce(text: string): boolean {
  return NONCE.test(text);
}

type Lines = [string, string, string, string, string, string, string];

const NONCE = /^[!-~]{8,100}$/;
/** In the order of the lines. */
const FIELDS: readonly (readonly [name: keyof SignedContent, holds: (line: string) => boolean])[] = [
  ["keyId", (line) => isId("key", line)],
  ["method", (line) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(line)],
  ["path", (line) => /^\/[!-~]{0,8191}$/.test(line)],
  ["account", (line) => line.length <= 200 && /^([A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)?)?$/.test(line)],
  // One spelling of each moment, up to the year 5138.
  ["timestampMs", (line) => /^(0|[1-9]\d{0,13})$/.test(line)],
  ["nonce", isNonce],
  ["contentSha256", (line) => /^[0-9a-f]{64}$/.test(line)],
];
/** Longer than the longest of each. */
const MAX_LENGTH = 9000;
