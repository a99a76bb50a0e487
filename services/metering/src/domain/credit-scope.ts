import type { KeyView } from "@gatehouse/access";
import type { Mirror } from "./mirror.ts";
import { nodeInReach, readerOf } from "./node-in-reach.ts";

/** Whose wallets: an account's, or those of all below it too. */
export interface CreditScope {
  readonly accountId: string;
  /** Undefined for the root, below which is everybody. */
  readonly organizationId: string | undefined;
  readonly descendants: boolean;
  /** Undefined: all. */
  readonly currency: string | undefined;
}

/** The scope that a caller asks about, its own account where it names none. Throws Failure NOT_FOUND. */
export async function creditScope(
  mirror: Mirror,
  caller: KeyView,
  { account, descendants, currency }: { account: string; descendants: boolean; currency: string },
): Promise<CreditScope> {
  const named = account === "" ? undefined : ({ kind: "ACCOUNT", name: account } as const);
  const { chain } = await nodeInReach(mirror, caller, named);
  const { id: accountId, organizationId } = chain[0]!;
  return {
    accountId,
    organizationId,
    descendants: descendants && readerOf(caller).seesBelow,
    currency: currency === "" ? undefined : currency,
  };
}
