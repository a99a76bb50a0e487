import type { AccountNode } from "@gatehouse/access";
import { isId, mintId } from "@gatehouse/keys";
import { Failure, failedPrecondition, invalid, notFound, unavailable } from "@gatehouse/service/failure";
import type { Mirror } from "./mirror.ts";
import { type Micros, micros } from "./money.ts";
import type { MoneyLoop } from "./money-loop.ts";
import type { Movement } from "./movement.ts";

/** A wallet that is not empty. */
export interface Filled {
  readonly accountId: string;
  readonly currency: string;
  readonly balance: Micros;
}

export interface MoveHoldingsDependencies {
  readonly mirror: Pick<Mirror, "findChain">;
  readonly loop: MoneyLoop;
  readonly store: {
    /** The first `limit` of an account and all below it. */
    filled(accountId: string, limit: number): Promise<readonly Filled[]>;
  };
}

/** Wallets that are emptied at once; a closed subtree that has more takes another turn. */
const MAX_AT_ONCE = 500;
/** Between what is read and what is moved something may have been spent: then what is left is read again. */
const MAX_TURNS = 20;

/**
 * Empties the wallets of an account and all below it: what they have goes to another account, what they owe comes from
 * there. Done again it goes on where it was. Throws Failure INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION
 * (CREDIT_EXHAUSTED, FINAL_STATE), UNAVAILABLE.
 */
export async function moveHoldings(
  { mirror, loop, store }: MoveHoldingsDependencies,
  { accountId, toAccountId, actorKeyId }: { accountId: string; toAccountId: string; actorKeyId: string },
): Promise<void> {
  const violations = Object.entries({ account_id: accountId, to_account_id: toAccountId }).flatMap(
    ([field, id]) => (isId("acc", id) ? [] : [{ field, description: "must be an account's id" }]),
  );
  if (!isId("key", actorKeyId)) violations.push({ field: "actor_key_id", description: "must be a key's id" });
  if (violations.length > 0) throw invalid(violations);
  const [chain, receiver] = await Promise.all(
    [accountId, toAccountId].map((id) => mirror.findChain({ by: "id", id })),
  );
  if (chain === undefined || receiver === undefined) throw notFound("account");
  requireReceiver(chain, receiver);
  const organizationId = chain[0]!.organizationId!;
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const wallets = await store.filled(accountId, MAX_AT_ONCE);
    if (wallets.length === 0) return;
    const moves = wallets.map((wallet) =>
      loop.move(emptying(wallet, { toAccountId, organizationId, actorKeyId })),
    );
    const settled = await Promise.allSettled(moves);
    for (const [i, move] of settled.entries()) {
      if (move.status === "rejected" && !isLate(move.reason, wallets[i]!)) throw move.reason;
    }
  }
  throw unavailable("what is in the wallets goes on changing; try again");
}

function requireReceiver(chain: readonly AccountNode[], receiver: readonly AccountNode[]): void {
  const wrong = (description: string) => invalid([{ field: "to_account_id", description }]);
  if (receiver.some(({ id }) => id === chain[0]!.id)) throw wrong("must not be below the account");
  if (receiver.length === 1 || receiver[0]!.organizationId !== chain[0]!.organizationId) {
    throw wrong("must be of the same organization");
  }
  if (receiver.some(({ status }) => status === "CLOSED")) {
    throw failedPrecondition("FINAL_STATE", "the account that the money should go to is closed");
  }
}

function emptying(
  { accountId, currency, balance }: Filled,
  {
    toAccountId,
    organizationId,
    actorKeyId,
  }: { toAccountId: string; organizationId: string; actorKeyId: string },
): Movement {
  const [closing, receiver] = [{ accountId }, { accountId: toAccountId }];
  const [from, to] = balance > 0 ? [closing, receiver] : [receiver, closing];
  return {
    id: mintId("txn"),
    name: undefined,
    actor: { keyId: actorKeyId, accountId: toAccountId },
    order: {
      kind: "TRANSFER",
      organizationId,
      currency,
      from,
      to,
      amount: micros(Math.abs(balance)),
      reference: "",
      reason: "the account is closed",
    },
  };
}

// Some of it was spent since it was read.
function isLate(error: unknown, { balance }: Filled): boolean {
  return balance > 0 && error instanceof Failure && error.reason === "CREDIT_EXHAUSTED";
}
