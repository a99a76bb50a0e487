import { accountNode, keyNode } from "@gatehouse/access/wire";
import { type FeedSource, type Position, positionOf } from "@gatehouse/changefeed";
import { FeedService } from "@gatehouse/proto/identity";
import { type GrpcClient, grpcClient } from "@gatehouse/service";
import type { IdentityChange, ResolvedKeys, ResolvedTarget } from "../domain/identity-cache.ts";
import type { IdentitySource } from "../domain/identity-reader.ts";

/** A miss that takes longer counts as an identity that cannot be reached. */
const TIMEOUT_MS = 1000;
/** A proof that hangs must leave time for another within the second of P1. */
const HEAD_TIMEOUT_MS = 500;

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
    return positionOf((await this.#client.getHead({}, { timeoutMs: HEAD_TIMEOUT_MS })).head);
  }

  async changes(after: Position): Promise<readonly IdentityChange[]> {
    const request = { after: { incarnation: after.incarnation, revision: BigInt(after.revision) } };
    const { changes } = await this.#client.listChanges(request, { timeoutMs: TIMEOUT_MS });
    return changes.map(({ revision, entity }) => ({
      revision: Number(revision),
      key: entity.case === "key" ? keyNode(entity.value) : undefined,
      account: entity.case === "account" ? accountNode(entity.value) : undefined,
    }));
  }

  async resolveKeys(keyIds: readonly string[]): Promise<ResolvedKeys> {
    const answer = await this.#client.resolveKeys({ keyIds: [...keyIds] }, { timeoutMs: TIMEOUT_MS });
    return {
      position: positionOf(answer.position),
      keys: new Map(answer.keys.map((key) => [key.id, keyNode(key)])),
      accounts: new Map(answer.accounts.map((account) => [account.id, accountNode(account)])),
    };
  }

  async resolveTarget(organizationId: string, account: string): Promise<ResolvedTarget> {
    const answer = await this.#client.resolveAccounts(
      { names: [{ account, organizationId }] },
      { timeoutMs: TIMEOUT_MS },
    );
    return {
      position: positionOf(answer.position),
      accountId: answer.accountIds[0] || undefined,
      accounts: new Map(answer.accounts.map((node) => [node.id, accountNode(node)])),
    };
  }

  async meters(): Promise<readonly string[]> {
    const { meters } = await this.#client.resolveMeters({}, { timeoutMs: TIMEOUT_MS });
    return meters.map(({ name }) => name);
  }

  close(): void {
    this.#client.close();
  }
}
