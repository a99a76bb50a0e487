import type { Freshness } from "@gatehouse/changefeed";
import type { Need } from "./lease-source.ts";
import type { SignedRequest } from "./signed-request.ts";
import type { Trace } from "./trace.ts";

/** One call that is to be decided. */
export interface VerifyCall {
  /** The key; empty where it signed the call. */
  readonly presented: string;
  /** Undefined where the key was presented. */
  readonly signed: SignedRequest | undefined;
  /** Empty for none, and where `http` says what is called. */
  readonly resource: string;
  readonly http: { readonly method: string; readonly path: string } | undefined;
  /** Where it comes from; undefined where that is not known. */
  readonly address: string | undefined;
  /** What it comes through; empty for nothing. */
  readonly integration: string;
  /** Id or slug; empty for the key's own account. */
  readonly account: string;
  /** None for a beat, which meets no limit. */
  readonly needs: readonly Need[];
  /** How long the charges are held as an estimate; undefined where they are what the call costs. */
  readonly reserveTtlMs: number | undefined;
  readonly atLeastAsFresh: readonly Freshness[];
  /** Where the call stands in its request, for messages: empty, or `requests[3].`. */
  readonly at: string;
  /** Where it is followed closely; undefined nearly always. */
  readonly trace?: Trace | undefined;
}
