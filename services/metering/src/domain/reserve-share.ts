import { type KeyView, reaches } from "@gatehouse/access";
import { Failure, invalid } from "@gatehouse/service/failure";
import { type Limit, type LimitTerms, MAX_SHARES } from "./limit.ts";
import type { LimitStore, LimitTx } from "./limit-store.ts";
import type { ReachedNode } from "./node-in-reach.ts";

/**
 * Shares: a part of the bucket of a limit above that is kept for one node. The limit above is the nearest with the same
 * meter, resource, kind and window, as it is when the share is set; a share goes with either of the two limits.
 *
 * Who has a share has it whatever siblings do, and may have more of what is common. Of the nodes that a call is charged
 * to at most one has a share of a bucket, so that each call draws on one part: one cannot have a share of what somebody
 * below it has a share of.
 */
export interface WantedShare {
  readonly share: number;
  readonly above: Limit;
}

const field = "reserved_share";
/** Shares are decimals; what they add up to in binary is off by less. */
const ROUNDING = 1e-9;

/** The limit above that a share would be of. Throws Failure INVALID_ARGUMENT where there is none in the caller's reach. */
export async function wantedShare(
  store: LimitStore,
  caller: KeyView,
  node: ReachedNode,
  terms: LimitTerms,
  share: number,
): Promise<WantedShare | undefined> {
  if (share === 0) return undefined;
  const nodeIds = nodesAbove(caller, node);
  const limits = await store.sameOn(nodeIds, terms);
  const above = nodeIds.flatMap((id) => limits.filter((limit) => limit.node.id === id))[0];
  if (above !== undefined) return { share, above };
  throw invalid([
    { field, description: "no quota of the same meter, resource and window is above the node" },
  ]);
}

/** Locks the bucket of the limit with those above of which its share changes, before anything does. */
export async function lockForShare(
  tx: LimitTx,
  limit: Limit | undefined,
  wanted: WantedShare | undefined,
): Promise<void> {
  if (isKept(limit?.reserved, wanted)) return;
  const ids = [limit?.id, limit?.reserved?.of, wanted?.above.id].filter((id) => id !== undefined);
  await tx.lock(ids);
}

/**
 * Keeps the share for the limit, or none, in a transaction that has the nodes of both limits above to itself: of that
 * which had it kept until now, too. Throws Failure INVALID_ARGUMENT, and ABORTED where another limit above came first.
 */
export async function keepShare(
  tx: LimitTx,
  limit: Limit,
  wanted: WantedShare | undefined,
  alone: ReadonlySet<string>,
): Promise<Limit> {
  const { reserved } = limit;
  if (isKept(reserved, wanted)) return limit;
  const nowAbove = wanted && (await tx.find(wanted.above.id));
  const wasAbove = reserved && (await tx.find(reserved.of));
  if ((wanted && !nowAbove) || (wasAbove && !alone.has(wasAbove.node.id))) {
    throw new Failure({
      code: "ABORTED",
      reason: "BUSY",
      message: "the limits above have just been changed",
    });
  }
  if (nowAbove !== undefined) await requireRoom(tx, limit, nowAbove, wanted!.share);
  const kept = nowAbove && { share: wanted!.share, of: nowAbove.id };
  await tx.reserve(limit.id, kept);
  // What is lent of it was lent without knowing of this.
  for (const each of new Set([nowAbove?.id, wasAbove?.id])) if (each !== undefined) await tx.recall(each);
  return { ...limit, reserved: kept };
}

function isKept(reserved: Limit["reserved"], wanted: WantedShare | undefined): boolean {
  return reserved?.of === wanted?.above.id && reserved?.share === wanted?.share;
}

async function requireRoom(tx: LimitTx, limit: Limit, above: Limit, share: number): Promise<void> {
  const others = (await tx.sharesOf(above.id)).filter(({ nodeId }) => nodeId !== limit.node.id);
  const sum = others.reduce((total, other) => total + other.share, share);
  const wrong = (description: string) => invalid([{ field, description }]);
  if (sum > 1 + ROUNDING) throw wrong(`the shares of ${above.id} would add up to more than 1`);
  if (others.length >= MAX_SHARES) throw wrong(`${above.id} has ${MAX_SHARES} shares already`);
  if (await tx.hasShareBelow(above.id, limit.node.id)) {
    throw wrong(`what is below the node has a share of ${above.id} already`);
  }
}

function nodesAbove(caller: KeyView, node: ReachedNode): string[] {
  const accounts = node.chain.filter((_, i) => reaches(caller, node.chain.slice(i))).map(({ id }) => id);
  if (node.kind === "ACCOUNT") return accounts.filter((id) => id !== node.id);
  const { parentKeyId } = node.view.key;
  return parentKeyId === undefined ? accounts : [parentKeyId, ...accounts];
}
