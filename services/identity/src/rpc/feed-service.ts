import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { accountState, keyState } from "@gatehouse/access/wire";
import { isHash } from "@gatehouse/keys";
import { type ChangeSchema, FeedService, type PositionSchema } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Endpoint } from "../domain/definitions/definition.ts";
import type { Entity, Feed, Position } from "../domain/feed.ts";
import { Fields } from "../domain/fields.ts";
import { type ActivityStore, recordActivity } from "../domain/keys/activity.ts";
import { claimNonce, type NonceStore } from "../domain/keys/nonces.ts";
import { unixMs } from "./convert-in.ts";
import { defaultLimitMessage } from "./default-limit-message.ts";

/** Names, ids or changes in one answer: with what hangs on them, as much as one message should hold. */
const MAX_BATCH = 1000;
/** Longer than any id, slug or `org/sub`. */
const MAX_NAME = 130;

/** What followers tell that is no change. */
export interface Facts {
  readonly activity: ActivityStore;
  readonly nonces: NonceStore;
  readonly nowMs: () => number;
}

export function feedService(feed: Feed, { activity, nonces, nowMs }: Facts): Route<Principal> {
  return route<typeof FeedService, Principal>(FeedService, {
    async getHead() {
      return { head: positionMessage(await feed.head()) };
    },

    async listChanges({ after, limit }) {
      const fields = new Fields();
      if (after === undefined) fields.wrong("after", "is required");
      if (limit < 0 || limit > MAX_BATCH) fields.wrong("limit", `must be 1 to ${MAX_BATCH}, or 0 for that`);
      fields.check();
      const position = { incarnation: after!.incarnation, revision: Number(after!.revision) };
      const { changes, head } = await feed.changesAfter(position, limit || MAX_BATCH);
      return {
        changes: changes.map(({ revision, entity }) => changeMessage(revision, entity)),
        head: positionMessage(head),
      };
    },

    async *snapshot() {
      for await (const { position, entities } of feed.snapshot()) {
        yield {
          position: positionMessage(position),
          entities: entities.map((entity) => changeMessage(0, entity)),
        };
      }
    },

    async resolveKeys({ keyIds }) {
      const fields = new Fields();
      checkBatch(fields, "key_ids", keyIds.length);
      checkNames(fields, keyIds.slice(0, MAX_BATCH), (index) => `key_ids[${index}]`);
      fields.check();
      const { position, keys, accounts } = await feed.resolveKeys(keyIds);
      return {
        position: positionMessage(position),
        keys: keys.map(keyState),
        accounts: accounts.map(accountState),
      };
    },

    async resolveHashes({ hashes }) {
      const fields = new Fields();
      checkBatch(fields, "hashes", hashes.length);
      for (const [index, hash] of hashes.slice(0, MAX_BATCH).entries()) {
        if (!isHash(hash)) fields.wrong(`hashes[${index}]`, "must be a SHA-256 in base64url");
      }
      fields.check();
      const { position, keyIds, keys, accounts } = await feed.resolveHashes(hashes);
      return {
        position: positionMessage(position),
        keyIds: keyIds.map((id) => id ?? ""),
        keys: keys.map(keyState),
        accounts: accounts.map(accountState),
      };
    },

    async recordActivity({ activities }) {
      const uses = activities.map(({ keyId, lastUsedAt }) => ({ keyId, lastUsedMs: unixMs(lastUsedAt) }));
      await recordActivity(activity, uses, nowMs());
      return {};
    },

    async claimNonce({ keyId, nonce, expiresAt }) {
      const claim = { keyId, nonce, expiresAtMs: unixMs(expiresAt) };
      return { claimed: await claimNonce(nonces, claim, nowMs()) };
    },

    async resolveCatalog() {
      const { position, apis } = await feed.catalog();
      return { position: positionMessage(position), apis: apis.map(apiState) };
    },

    async resolveMeters() {
      const { position, names } = await feed.meters();
      return { position: positionMessage(position), meters: names.map((name) => ({ name })) };
    },

    async resolveAccounts({ names }) {
      const fields = new Fields();
      checkBatch(fields, "names", names.length);
      const bounded = names.slice(0, MAX_BATCH);
      checkNames(
        fields,
        bounded.map(({ account }) => account),
        (index) => `names[${index}].account`,
      );
      for (const [index, { organizationId }] of bounded.entries()) {
        fields.text(`names[${index}].organization_id`, organizationId, { max: MAX_NAME });
      }
      fields.check();
      const { position, accountIds, accounts } = await feed.resolveAccounts(
        names.map(({ account, organizationId }) => ({
          account,
          organizationId: organizationId || undefined,
        })),
      );
      return {
        position: positionMessage(position),
        accountIds: accountIds.map((id) => id ?? ""),
        accounts: accounts.map(accountState),
      };
    },
  });
}

function checkBatch(fields: Fields, field: string, length: number): void {
  if (length < 1 || length > MAX_BATCH) fields.wrong(field, `must have 1 to ${MAX_BATCH}`);
}

function checkNames(fields: Fields, names: readonly string[], fieldAt: (index: number) => string): void {
  for (const [index, name] of names.entries()) fields.text(fieldAt(index), name, { min: 1, max: MAX_NAME });
}

function apiState({ name, endpoints }: { name: string; endpoints: readonly Endpoint[] }) {
  const templates = endpoints.map(({ name, method, path, resource }) => ({ name, method, path, resource }));
  return { name, endpoints: templates };
}

function positionMessage({ incarnation, revision }: Position): MessageInitShape<typeof PositionSchema> {
  return { incarnation, revision: BigInt(revision) };
}

function changeMessage(revision: number, entity: Entity): MessageInitShape<typeof ChangeSchema> {
  return { revision: BigInt(revision), entity: entityMessage(entity), deleted: entity.kind === "gone" };
}

function entityMessage(entity: Entity): NonNullable<MessageInitShape<typeof ChangeSchema>["entity"]> {
  switch (entity.kind) {
    case "account":
      return { case: "account", value: accountState(entity.account) };
    case "key":
      return { case: "key", value: keyState(entity.key) };
    case "meter":
      return { case: "meter", value: { name: entity.meter.name } };
    case "api":
      return { case: "api", value: apiState(entity) };
    case "plan":
      return {
        case: "plan",
        value: { name: entity.name, defaultLimits: entity.defaultLimits.map(defaultLimitMessage) },
      };
    case "gone":
      return { case: entity.of, value: { name: entity.name } };
  }
}
