import { digestOf } from "./digest.ts";

/** Digest of the filter, colon, id: longer is no token of ours. */
const MAX_TOKEN_LENGTH = 120;
const DIGEST_LENGTH = 16;

/** A token for what follows `lastId` in the list that `filter` describes. Opaque to callers. */
export function encodePageToken(filter: unknown, lastId: string): string {
  return Buffer.from(`${filterDigest(filter)}:${lastId}`).toString("base64url");
}

/** The id to continue after; undefined where the token is of another list, or none of ours. */
export function decodePageToken(token: string, filter: unknown): string | undefined {
  if (token.length > MAX_TOKEN_LENGTH) return undefined;
  const match = /^([\w-]{16}):([a-z]{3}_[0-9A-Za-z]{20})$/.exec(
    Buffer.from(token, "base64url").toString("latin1"),
  );
  return match?.[1] === filterDigest(filter) ? match[2] : undefined;
}

function filterDigest(filter: unknown): string {
  return digestOf(filter).slice(0, DIGEST_LENGTH);
}
