import { createHmac, hkdfSync } from "node:crypto";
import { BASE62_ALPHABET, base62, isBase62 } from "./base62.ts";
import { constantTimeEquality } from "./constant-time.ts";
import { type DecisionId, ID_BODY_LENGTH, mintId } from "./id.ts";

/**
 * Ids of decisions that hold a reservation: `dec_`, 20 characters as of any id, 8 of when it expires, 23 of a MAC.
 *
 * A verifier may settle a reservation at a replica that has not heard of it, and never may where it expires first
 * unheard of. So the id itself says when it expires, and the MAC, which covers that and the key that it was given to,
 * that it is no invention: what is answered for an id that is not known gives nothing away and stores nothing.
 * Ids of other decisions stay cheap, for they can do nothing.
 */
export class ReservedDecisionIds {
  readonly #key: Buffer;

  /** Of the services' common secret, from which a key for this alone is derived. */
  constructor(serviceSecret: string) {
    this.#key = Buffer.from(hkdfSync("sha256", serviceSecret, "", "gatehouse/reserved-decision-id/1", 32));
  }

  mint(verifierKeyId: string, expiresAtMs: number): DecisionId {
    const text = mintId("dec") + base62(expiresAtMs, EXPIRY_LENGTH);
    return (text + this.#mac(text, verifierKeyId)) as DecisionId;
  }

  /** When the reservation expires, in Unix milliseconds; undefined for what was not given to this key. */
  expiryOf(decisionId: string, verifierKeyId: string): number | undefined {
    if (decisionId.length !== LENGTH || !decisionId.startsWith("dec_")) return undefined;
    if (!isBase62(decisionId, 4, LENGTH)) return undefined;
    const text = decisionId.slice(0, MAC_AT);
    if (!equalMacs(this.#mac(text, verifierKeyId), decisionId.slice(MAC_AT))) return undefined;
    return numberOf(text.slice(EXPIRY_AT));
  }

  // Both parts have one form and length each, so that no other pair makes the same message.
  #mac(text: string, verifierKeyId: string): string {
    const mac = createHmac("sha256", this.#key)
      .update(text + verifierKeyId, "latin1")
      .digest();
    let characters = "";
    for (let at = 0; at < MAC_LENGTH; at++) characters += BASE62_ALPHABET.charAt(mac[at]! % 62);
    return characters;
  }
}

/** Enough for six thousand years in milliseconds. */
const EXPIRY_LENGTH = 8;
/** Of a byte each: the likeliest characters come 5 times in 256, so that a guess is right once in 2^130. */
const MAC_LENGTH = 23;
const EXPIRY_AT = "dec_".length + ID_BODY_LENGTH;
const MAC_AT = EXPIRY_AT + EXPIRY_LENGTH;
const LENGTH = MAC_AT + MAC_LENGTH;

const equalMacs = constantTimeEquality(MAC_LENGTH);

function numberOf(digits: string): number {
  let value = 0;
  for (const digit of digits) value = value * 62 + BASE62_ALPHABET.indexOf(digit);
  return value;
}
