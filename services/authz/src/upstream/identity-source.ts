import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ApiNode } from "@gatehouse/access";
import { accountNode, apiNode, keyNode } from "@gatehouse/access/wire";
import { type FeedSource, type Position, positionOf } from "@gatehouse/changefeed";
import {
  type Change,
  FeedService,
  type ResolveHashesResponse,
  type ResolveKeysResponse,
} from "@gatehouse/proto/identity";
import { type GrpcClient, grpcClient, type Span } from "@gatehouse/service";
import type { ListedItems } from "../domain/followed-list.ts";
import type { IdentitySource } from "../domain/identity-reader.ts";
import type { IdentityChange } from "../domain/identity-replica.ts";
import type { ResolvedHashes, ResolvedKeys, ResolvedTarget } from "../domain/resolved.ts";

/** A miss that takes longer counts as an identity that cannot be reached. */
const TIMEOUT_MS = 1000;
/** A proof that hangs must leave time for another within the second of P1, the pause between them included. */
const HEAD_TIMEOUT_MS = 400;
/** Below the second after which the follower takes a failure for old. */
const CHANGES_TIMEOUT_MS = 800;

/** identity, over gRPC: what fills the cache, and the feed that keeps it true. */
export class GrpcIdentitySource implements IdentitySource, FeedSource<IdentityChange> {
  readonly #client: GrpcClient<typeof FeedService>;

  /** `address` is `host:port`; `serviceSecret` is what services present to each other. */
  constructor(address: string, serviceSecret: string) {
    this.#client = grpcClient(FeedService, address, {
      headers: { authorization: `Bearer ${serviceSecret}` },
    });
  }

  async head(): Promise<Position> {
    // A process that was stopped finds its channel still pausing after a dial that failed before that. What fails at
    // once for it says nothing of whether identity can be reached, and the longest pause is shorter than this waits.
    const options = { timeoutMs: HEAD_TIMEOUT_MS, waitsForConnection: true };
    return positionOf((await this.#client.getHead({}, options)).head);
  }

  async changes(after: Position): Promise<readonly IdentityChange[]> {
    const request = { after: { incarnation: after.incarnation, revision: BigInt(after.revision) } };
    const { changes } = await this.#client.listChanges(request, { timeoutMs: CHANGES_TIMEOUT_MS });
    return changes.map(changeOf);
  }

  async resolveKeys(keyIds: readonly string[], trace?: Span): Promise<ResolvedKeys> {
    const options = { timeoutMs: TIMEOUT_MS, trace };
    return resolvedKeys(await this.#client.resolveKeys({ keyIds: [...keyIds] }, options));
  }

  async resolveHashes(hashes: readonly string[], trace?: Span): Promise<ResolvedHashes> {
    const options = { timeoutMs: TIMEOUT_MS, trace };
    const answer = await this.#client.resolveHashes({ hashes: [...hashes] }, options);
    const found = answer.keyIds.flatMap((keyId, i): [string, string][] =>
      keyId === "" ? [] : [[hashes[i]!, keyId]],
    );
    return { ...resolvedKeys(answer), keyIds: new Map(found) };
  }

  async resolveTarget(organizationId: string, account: string, trace?: Span): Promise<ResolvedTarget> {
    const answer = await this.#client.resolveAccounts(
      { names: [{ account, organizationId }] },
      { timeoutMs: TIMEOUT_MS, trace },
    );
    return {
      position: positionOf(answer.position),
      accountId: answer.accountIds[0] || undefined,
      accounts: new Map(answer.accounts.map((node) => [node.id, accountNode(node)])),
    };
  }

  async meters(): Promise<ListedItems<true>> {
    const { position, meters } = await this.#client.resolveMeters({}, { timeoutMs: TIMEOUT_MS });
    return { position: positionOf(position), items: new Map(meters.map(({ name }) => [name, true])) };
  }

  async catalog(): Promise<ListedItems<ApiNode>> {
    const { position, apis } = await this.#client.resolveCatalog({}, { timeoutMs: TIMEOUT_MS });
    return { position: positionOf(position), items: new Map(apis.map((api) => [api.name, apiNode(api)])) };
  }

  /** Tells of the last use of up to 1000 keys, in Unix milliseconds. */
  async recordActivity(uses: ReadonlyMap<string, number>): Promise<void> {
    const activities = [...uses].map(([keyId, usedAtMs]) => ({
      keyId,
      lastUsedAt: timestampFromMs(usedAtMs),
    }));
    await this.#client.recordActivity({ activities }, { timeoutMs: TIMEOUT_MS });
  }

  /** Takes a nonce for the whole deployment. False: it was taken. */
  async claimNonce(keyId: string, nonce: string, expiresAtMs: number, trace?: Span): Promise<boolean> {
    const request = { keyId, nonce, expiresAt: timestampFromMs(expiresAtMs) };
    return (await this.#client.claimNonce(request, { timeoutMs: TIMEOUT_MS, trace })).claimed;
  }

  close(): void {
    this.#client.close();
  }
}

function resolvedKeys({
  position,
  keys,
  accounts,
}: ResolveKeysResponse | ResolveHashesResponse): ResolvedKeys {
  return {
    position: positionOf(position),
    keys: new Map(keys.map((key) => [key.id, keyNode(key)])),
    accounts: new Map(accounts.map((account) => [account.id, accountNode(account)])),
  };
}

// What this version does not know is passed over, as any change of nothing.
function changeOf({ revision, entity, deleted }: Change): IdentityChange {
  const at = { revision: Number(revision) };
  switch (entity.case) {
    case "key":
      return { ...at, key: keyNode(entity.value) };
    case "account":
      return { ...at, account: accountNode(entity.value) };
    case "meter":
      return { ...at, meter: { name: entity.value.name, isDeleted: deleted } };
    case "api": {
      const { name } = entity.value;
      return { ...at, api: { name, node: deleted ? undefined : apiNode(entity.value) } };
    }
    default:
      return at;
  }
}
