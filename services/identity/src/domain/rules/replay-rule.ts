import { Failure } from "@gatehouse/service/failure";
import { digestOf } from "../digest.ts";
import type { Change, Replay, ReplayName } from "../store.ts";

/** How long a create can be repeated: longer than any client keeps retrying. */
const REMEMBERED_MS = 24 * 60 * 60 * 1000;

/** A create under an idempotency key, and what it asks for. */
export interface Repeatable {
  readonly name: ReplayName;
  readonly digest: string;
}

/** Undefined where the caller gave no idempotency key: then every call creates. */
export function repeatable(
  accountId: string,
  rpc: string,
  request: { idempotencyKey: string | undefined },
): Repeatable | undefined {
  const { idempotencyKey, ...body } = request;
  if (idempotencyKey === undefined) return undefined;
  return { name: { accountId, rpc, idempotencyKey }, digest: digestOf(body) };
}

/** Two creates under one idempotency key must not both find nothing: whoever creates holds this exclusively. */
export function replayGates(create: Repeatable | undefined): string[] {
  return create === undefined ? [] : [`replay:${digestOf(create.name)}`];
}

/** What the same create made before. Throws Failure IDEMPOTENCY_MISMATCH where it asked for something else. */
export async function replayed(
  change: Change,
  create: Repeatable | undefined,
  nowMs: number,
): Promise<Replay | undefined> {
  if (create === undefined) return undefined;
  const replay = await change.replays.find(create.name, new Date(nowMs - REMEMBERED_MS));
  if (replay === undefined || replay.digest === create.digest) return replay;
  throw new Failure({
    code: "ABORTED",
    reason: "IDEMPOTENCY_MISMATCH",
    message: "the idempotency key was used before, with another body",
  });
}

/** Remembers what a create made, in the same transaction. */
export async function remember(
  change: Change,
  create: Repeatable | undefined,
  made: Omit<Replay, "digest">,
  at: Date,
): Promise<void> {
  if (create === undefined) return;
  const since = new Date(at.getTime() - REMEMBERED_MS);
  await change.replays.remember(create.name, { digest: create.digest, ...made }, at, since);
}
