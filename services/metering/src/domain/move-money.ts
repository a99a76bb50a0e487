import type { AccountNode, KeyView } from "@gatehouse/access";
import { isId, mintId } from "@gatehouse/keys";
import { Failure, type FailureInit, invalid } from "@gatehouse/service/failure";
import { actorOf } from "./actor.ts";
import { digestOf } from "./digest.ts";
import { Fields } from "./fields.ts";
import type { Mirror } from "./mirror.ts";
import { micros } from "./money.ts";
import type { MoneyLoop, Moved } from "./money-loop.ts";
import type { Move, Order, RequestName, Side } from "./movement.ts";
import { nodeInReach } from "./node-in-reach.ts";

export interface MoneyDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly loop: MoneyLoop;
}

export interface TopUpDraft {
  readonly account: string;
  readonly amount: bigint;
  readonly currency: string;
  readonly reference: string;
  readonly idempotencyKey: string;
}

export interface TransferDraft {
  readonly from: string;
  readonly to: string;
  readonly amount: bigint;
  readonly currency: string;
  readonly reference: string;
  readonly idempotencyKey: string;
}

export interface AdjustDraft {
  readonly account: string;
  /** Signed. */
  readonly amount: bigint;
  readonly currency: string;
  readonly reason: string;
  /** Empty: it takes nothing back. */
  readonly refundOf: string;
  readonly idempotencyKey: string;
}

/** Puts money from outside into a wallet. Throws Failure like `transfer`. */
export function topUp(dependencies: MoneyDependencies, caller: KeyView, draft: TopUpDraft): Promise<Moved> {
  const { account, amount, currency, reference, idempotencyKey } = draft;
  const fields = new Fields();
  fields.account("account", account);
  fields.amount("amount", amount, 1n);
  fields.currency(currency);
  fields.text("reference", reference);
  const name = nameOf(fields, caller, idempotencyKey, ["TopUp", account, amount, currency, reference]);
  return move(dependencies, caller, name, async () => {
    const to = await ownerInReach(dependencies, caller, "account", account);
    const sides = { from: { system: "EXTERNAL" }, to: sideOf(to) } as const;
    return { kind: "TOP_UP", ...flowOf(to, draft), ...sides, reference, reason: "" };
  });
}

/**
 * Moves money between accounts of one organization.
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION (CREDIT_EXHAUSTED, FINAL_STATE), ABORTED
 * (IDEMPOTENCY_MISMATCH); UNAVAILABLE, after which nothing has happened, unless the connection was lost while it was
 * committed: asking again with the same idempotency key tells.
 */
export function transfer(
  dependencies: MoneyDependencies,
  caller: KeyView,
  draft: TransferDraft,
): Promise<Moved> {
  const { from, to, amount, currency, reference, idempotencyKey } = draft;
  const fields = new Fields();
  fields.account("from", from);
  fields.account("to", to);
  fields.amount("amount", amount, 1n);
  fields.currency(currency);
  fields.text("reference", reference);
  const body = ["Transfer", from, to, amount, currency, reference];
  const name = nameOf(fields, caller, idempotencyKey, body);
  return move(dependencies, caller, name, async () => {
    // Looked for at once. Judged in order once both answered: a refusal asks the database the same, whichever it is for.
    const giving = ownerInReach(dependencies, caller, "from", from);
    const receiving = ownerInReach(dependencies, caller, "to", to);
    await Promise.allSettled([giving, receiving]);
    const [giver, receiver] = [await giving, await receiving];
    if (giver[0]!.id === receiver[0]!.id) throw wrong("to", "must be another account than from");
    if (giver[0]!.organizationId !== receiver[0]!.organizationId) {
      throw wrong("to", "must be of the same organization as from");
    }
    const sides = { from: sideOf(giver), to: sideOf(receiver) };
    return { kind: "TRANSFER", ...flowOf(giver, draft), ...sides, reference, reason: "" };
  });
}

/** Puts a balance right, or takes a transaction back. Throws Failure like `transfer`. */
export function adjust(dependencies: MoneyDependencies, caller: KeyView, draft: AdjustDraft): Promise<Moved> {
  const { account, amount, currency, reason, refundOf, idempotencyKey } = draft;
  const isRefund = refundOf !== "";
  const fields = new Fields();
  fields.account("account", account);
  fields.amount("amount", amount < 0n ? -amount : amount, isRefund ? 0n : 1n);
  fields.currency(currency, { isRequired: !isRefund });
  fields.reason(reason);
  if (isRefund && !isId("txn", refundOf)) fields.wrong("refund_of", "must be a transaction's id");
  if (isRefund && currency !== "") fields.wrong("currency", "is the transaction's: leave it empty");
  const body = ["Adjust", account, amount, currency, reason, refundOf];
  const name = nameOf(fields, caller, idempotencyKey, body);
  return move(dependencies, caller, name, async () => {
    const owner = await ownerInReach(dependencies, caller, "account", account);
    if (isRefund) {
      const accountId = owner[0]!.id;
      return { kind: "REFUND", accountId, transactionId: refundOf, amount: micros(amount), reason };
    }
    const [mine, provider] = [sideOf(owner), { system: "ADJUSTMENT" } as const];
    const gains = amount > 0n;
    const sides = gains ? { from: provider, to: mine } : { from: mine, to: provider };
    const flow = flowOf(owner, { amount: gains ? amount : -amount, currency });
    return { kind: "ADJUSTMENT", ...flow, ...sides, reference: "", reason };
  });
}

/**
 * What is malformed on its face fails here, and is not remembered. Whatever is found out later is part of the answer
 * to the key, if there is one: the order looks it up, and its refusal travels as an order does.
 */
async function move(
  { loop }: MoneyDependencies,
  caller: KeyView,
  name: RequestName | undefined,
  read: () => Promise<Order>,
): Promise<Moved> {
  const order = await read().catch((error: unknown): Order => {
    const failure = name === undefined ? undefined : refusalOf(error);
    if (failure === undefined) throw error;
    return { kind: "REFUSED", failure };
  });
  return loop.move({ id: mintId("txn"), name, actor: actorOf(caller), order });
}

// That identity did not answer, or is busy, is no answer to a key.
function refusalOf(error: unknown): FailureInit | undefined {
  if (!(error instanceof Failure && FINAL.has(error.code))) return undefined;
  const { code, reason, message, violations } = error;
  return { code, reason, message, violations };
}

const FINAL: ReadonlySet<string> = new Set(["NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION"]);

function nameOf(
  fields: Fields,
  caller: KeyView,
  idempotencyKey: string,
  body: readonly (string | bigint)[],
): RequestName | undefined {
  fields.text("idempotency_key", idempotencyKey);
  fields.check();
  if (idempotencyKey === "") return undefined;
  return { accountId: caller.key.accountId, idempotencyKey, digest: digestOf(body) };
}

async function ownerInReach(
  { mirror }: Pick<MoneyDependencies, "mirror">,
  caller: KeyView,
  field: string,
  name: string,
): Promise<readonly AccountNode[]> {
  const { chain } = await nodeInReach(mirror, caller, { kind: "ACCOUNT", name });
  if (chain.length === 1) throw wrong(field, "the root has no wallets");
  return chain;
}

function sideOf(chain: readonly AccountNode[]): Side {
  return { accountId: chain[0]!.id, isClosed: chain.some(({ status }) => status === "CLOSED") };
}

function flowOf(
  [account]: readonly AccountNode[],
  { amount, currency }: { readonly amount: bigint; readonly currency: string },
): Pick<Move, "organizationId" | "amount" | "currency"> {
  return { organizationId: account!.organizationId ?? "", amount: micros(amount), currency };
}

function wrong(field: string, description: string): Failure {
  return invalid([{ field, description }]);
}
