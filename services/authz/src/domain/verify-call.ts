import type { Freshness } from "@gatehouse/changefeed";
import type { Need } from "./lease-source.ts";

/** One call that is to be decided. */
export interface VerifyCall {
  readonly presented: string;
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
  readonly atLeastAsFresh: readonly Freshness[];
  /** Where the call stands in its request, for messages: empty, or `requests[3].`. */
  readonly at: string;
}
