import type { DescMethod } from "@bufbuild/protobuf";
import type { PeerCertificate } from "./peer-certificate.ts";
import type { Span } from "./span.ts";

/** One call of one RPC, whichever transport it came by. */
export interface Call<P = unknown> {
  readonly method: DescMethod;
  /** What the guard made of the caller's credentials. Undefined inside the guard itself. */
  readonly principal: P;
  /** The first value of a request header; names are case-insensitive. */
  header(name: string): string | undefined;
  /** The address of the other end of the connection, without its port; IPv4 in its own notation. */
  readonly peerAddress: string | undefined;
  /** The certificate that the other end showed; undefined where it showed none, or is asked for none. */
  readonly peerCertificate: PeerCertificate | undefined;
  /** Aborts when the caller gives up, its deadline passes, or the server must stop at once. */
  readonly signal: AbortSignal;
  /** Aborts when the server starts to close. Streams that would never end listen to it and return. */
  readonly draining: AbortSignal;
  /** Whether nobody waits for the answer any more: the caller gave up, or its deadline has passed. */
  readonly isAbandoned?: boolean;
  /** When the caller stops waiting, in milliseconds since the epoch. */
  readonly deadlineMs: number | undefined;
  /** Its span where it is sampled; undefined nearly always. Handed on to what is called for its sake. */
  readonly trace?: Span | undefined;
  /** Sets a response header. To be called before the reply, or the first message of a stream. */
  setHeader(name: string, value: string): void;
}

/**
 * A reply that is not ready yet, for handlers on the hot path: unlike a promise it costs no microtask, so many
 * replies can leave together, from one callback at the end of an event-loop turn.
 */
export interface Later<T> {
  /** Calls back exactly once, with an error (anything but undefined and null) or a value. */
  whenReady(callback: (error: unknown, value?: T) => void): void;
}

/** `address` without the prefix of IPv4 mapped into IPv6. */
export function plainAddress(address: string | undefined): string | undefined {
  return address?.startsWith("::ffff:") ? address.slice(7) : address;
}
