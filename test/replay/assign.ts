import { hash } from "node:crypto";
import { ReplayError, type TraceCall, type TraceFormat } from "./trace.ts";

/** The subaccount that a call is replayed as. */
export interface Caller {
  readonly slug: string;
  readonly name: string;
}

/** The rule by which calls become some subaccount's: a trace does not say whose account a call was. */
export interface Assigner {
  /** For people. */
  readonly rule: string;
  assign(call: TraceCall, text: string): Caller;
}

const DEPARTMENTS_MAX = 10_000;
/** A few of a name's characters, to recognize it by; the digest behind them tells it apart. */
const RECOGNIZABLE = 40;

/**
 * The rule of `--by`: `address` gives every client address a subaccount of its own; `hash:N` spreads over N
 * departments by the first four bytes of a SHA-256, modulo N, of the client address, or of the whole line where
 * the trace has no addresses; `zipf:N` over N of very different sizes, by the same bytes: the k-th gets a k-th of
 * what the first gets. The same line goes to the same subaccount in every run.
 */
export function assigner(by: string | undefined, format: TraceFormat["name"]): Assigner {
  const rule = by ?? (format === "csv" ? "hash:8" : "address");
  if (rule === "address") {
    if (format === "csv") throw new ReplayError("--by address: a CSV has no client addresses; use hash:N");
    return { rule: "one subaccount for each client address", assign: ({ address }) => callerAt(address!) };
  }
  const [, law, count] = /^(hash|zipf):([1-9]\d{0,4})$/.exec(rule) ?? [];
  const departments = Number(count ?? 0);
  if (departments === 0 || departments > DEPARTMENTS_MAX) {
    throw new ReplayError(`--by ${rule}: must be address, hash:N or zipf:N, N from 1 to ${DEPARTMENTS_MAX}`);
  }
  const what = format === "csv" ? "the row" : "the client address";
  const sizes = law === "zipf" ? ", the k-th with a k-th of the first's share" : "";
  const placeOf = law === "zipf" ? unevenly(departments) : (point: number) => point % departments;
  return {
    rule: `${departments} departments by SHA-256 of ${what}${sizes}`,
    assign({ address }, text) {
      const number = placeOf(hash("sha256", address ?? text, "buffer").readUInt32BE(0)) + 1;
      return { slug: `department-${number}`, name: `Department ${number}` };
    },
  };
}

/** Which of `count` shares, the k-th a k-th as large as the first, a point among the 2^32 falls into; from 0. */
function unevenly(count: number): (point: number) => number {
  let whole = 0;
  const ends = Array.from({ length: count }, (_, i) => {
    whole += 1 / (i + 1);
    return whole;
  });
  return (point) => {
    const at = (point / 2 ** 32) * whole;
    let [first, last] = [0, count - 1];
    while (first < last) {
      const middle = (first + last) >> 1;
      if (at < ends[middle]!) last = middle;
      else first = middle + 1;
    }
    return first;
  };
}

const IPV4 = /^(\d{1,3}\.){3}\d{1,3}$/;

/** `10.0.0.1` is `ip-10-0-0-1`; what does not survive the alphabet of slugs has a digest at its end. */
function callerAt(address: string): Caller {
  const name = [...address].slice(0, 100).join("");
  if (IPV4.test(address)) return { slug: `ip-${address.replaceAll(".", "-")}`, name };
  const readable = kebab(address.slice(0, RECOGNIZABLE)) || "caller";
  return { slug: `from-${readable}-${hash("sha256", address).slice(0, 12)}`, name };
}

/** Lower-case letters and digits with single dashes between them. */
export function kebab(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
}
