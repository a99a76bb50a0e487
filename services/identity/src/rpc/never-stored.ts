import type { Call } from "@gatehouse/service";

/** Tells whatever stands between us and the caller to keep no copy of an answer that may hold a secret. */
export function neverStored(call: Call): void {
  call.setHeader("cache-control", "no-store");
}
