import { hash, randomInt } from "node:crypto";
import { base62, isBase62, randomBase62 } from "./base62.ts";

/** What an id is of: account, key, role, plan, user, invitation, limit, decision, wallet, price, transaction, alert, event. */
export type IdPrefix =
  | "acc"
  | "key"
  | "rol"
  | "pln"
  | "usr"
  | "inv"
  | "lim"
  | "dec"
  | "wal"
  | "prc"
  | "txn"
  | "alr"
  | "evt";

declare const idPrefix: unique symbol;

/** `<prefix>_` and 20 base62 characters. Branded, so that one cannot be passed for another. */
export type Id<Prefix extends IdPrefix> = string & { readonly [idPrefix]: Prefix };

export type KeyId = Id<"key">;
export type InvitationId = Id<"inv">;
export type DecisionId = Id<"dec">;

/** Characters after the underscore. */
export const ID_BODY_LENGTH = 20;

/** Mints an id that sorts, by character code, after every id minted before it in this process. */
export function mintId<Prefix extends IdPrefix>(prefix: Prefix): Id<Prefix> {
  return `${prefix}_${processIds.next()}` as Id<Prefix>;
}

/**
 * The id of what `text` names: the same text, the same id, so that what is made of it is made once. Of such ids the
 * order says nothing. 119 bits of a SHA-256: nobody finds two texts with one id.
 */
export function derivedId<Prefix extends IdPrefix>(prefix: Prefix, text: string): Id<Prefix> {
  let number = BigInt(`0x${hash("sha256", text, "hex")}`);
  let body = "";
  for (; body.length < ID_BODY_LENGTH; number /= 62n) body += base62(Number(number % 62n), 1);
  return `${prefix}_${body}` as Id<Prefix>;
}

/** Whether the text has the shape of such an id. Constant time on oversize text. */
export function isId<Prefix extends IdPrefix>(prefix: Prefix, text: string): text is Id<Prefix> {
  const bodyAt = prefix.length + 1;
  return (
    text.length === bodyAt + ID_BODY_LENGTH &&
    text.startsWith(prefix) &&
    text[prefix.length] === "_" &&
    isBase62(text, bodyAt, text.length)
  );
}

/**
 * Bodies of ids: 8 characters of milliseconds since the epoch (enough for six thousand years), 6 of a counter,
 * 6 random ones. The counter starts at random each millisecond, so processes minting in the same one collide with
 * odds of 2^-70 a pair. A clock that steps back holds the time still and lets the counter run: order survives.
 */
export class IdSource {
  readonly #nowMs: () => number;
  #lastMs = -1;
  #time = "";
  #counter = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  next(): string {
    const nowMs = this.#nowMs();
    if (nowMs > this.#lastMs) {
      this.#lastMs = nowMs;
      this.#time = base62(nowMs, 8);
      this.#counter = randomInt(COUNTER_STARTS);
    } else {
      this.#counter++;
    }
    return this.#time + base62(this.#counter, 6) + randomBase62(6);
  }
}

/** Below 62^6 by twenty billion ids: more than one clock step back lets a process mint. */
const COUNTER_STARTS = 2 ** 35;

const processIds = new IdSource(() => Date.now());
