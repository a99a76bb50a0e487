import { failedPrecondition } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";

/** Throws Failure FINAL_STATE where an account is closed, or is below one that is. What stops things does not ask. */
export function requireNotClosed(chain: Chain): void {
  if (chain.every(({ status }) => status !== "CLOSED")) return;
  throw failedPrecondition("FINAL_STATE", "the account, or one above it, is closed");
}
