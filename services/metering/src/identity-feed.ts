import { accountNode, keyNode } from "@gatehouse/access/wire";
import { type FeedSource, positionOf } from "@gatehouse/changefeed";
import { type Change, FeedService, type PlanState } from "@gatehouse/proto/identity";
import { type GrpcClient, grpcClient } from "@gatehouse/service";
import type { LimitTerms } from "./domain/limit.ts";
import { readDraft } from "./domain/limit-draft.ts";
import { limitDraft } from "./rpc/limit-wire.ts";
import type { MirrorChange, MirrorEntity, MirrorSnapshot } from "./storage/mirror-replica.ts";

/** Longer and the mirror is older than the control plane believes it; a loop asks again. */
const HEAD_TIMEOUT_MS = 500;
const CHANGES_TIMEOUT_MS = 1000;
/** A million keys in pages take seconds; past this the connection is dead. */
const SNAPSHOT_TIMEOUT_MS = 120_000;

/** What the mirror follows: identity's log, and everything at once for a mirror that has nothing yet. */
export interface IdentityFeed extends FeedSource<MirrorChange> {
  readonly snapshot: MirrorSnapshot;
  close(): void;
}

/** identity's feed over gRPC. */
export function identityFeed(address: string, serviceSecret: string): IdentityFeed {
  const headers = { authorization: `Bearer ${serviceSecret}` };
  const client: GrpcClient<typeof FeedService> = grpcClient(FeedService, address, { headers });
  return {
    async head() {
      const { head } = await client.getHead({}, { timeoutMs: HEAD_TIMEOUT_MS });
      return positionOf(head);
    },
    async changes(after) {
      const from = { incarnation: after.incarnation, revision: BigInt(after.revision) };
      const { changes } = await client.listChanges({ after: from }, { timeoutMs: CHANGES_TIMEOUT_MS });
      return changes.map((change) => ({ revision: change.revision, entity: entityOf(change) }));
    },
    async *snapshot() {
      for await (const { position, entities } of client.snapshot({}, { timeoutMs: SNAPSHOT_TIMEOUT_MS })) {
        yield { position: positionOf(position), entities: entities.flatMap((each) => entityOf(each) ?? []) };
      }
    },
    close: () => client.close(),
  };
}

// A kind that this version does not know is passed over: identity is rolled out before metering.
function entityOf({ entity, deleted }: Change): MirrorEntity | undefined {
  switch (entity.case) {
    case "account":
      return { kind: "ACCOUNT", account: accountNode(entity.value) };
    case "key":
      return { kind: "KEY", key: keyNode(entity.value) };
    case "plan":
      return { kind: "PLAN", name: entity.value.name, limits: deleted ? undefined : limitsOf(entity.value) };
    case "meter":
      return { kind: "METER", name: entity.value.name, isDeleted: deleted };
    default:
      return undefined;
  }
}

// identity has checked them; one that this version cannot keep is passed over.
function limitsOf({ defaultLimits }: PlanState): LimitTerms[] {
  return defaultLimits.flatMap((limit) => readDraft(limitDraft(limit)).terms ?? []);
}
