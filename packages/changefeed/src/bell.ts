import type { FeedName } from "./position.ts";

/**
 * The bell: says that a log has moved and which entities to doubt. It is a hint sent over a bus that may lose,
 * double, reorder or forge it. Followers doubt and pull; they believe nothing in it.
 */
export interface Bell {
  readonly entityIds: readonly string[];
}

/** Above this many, the bell names none: followers pull, and the pull names all. */
const MAX_BELL_ENTITIES = 64;
const MAX_BELL_BYTES = 8192;

export function bellSubject(source: FeedName): string {
  return `gatehouse.${source}.changes`;
}

export function encodeBell(bell: Bell): Uint8Array {
  const entityIds = bell.entityIds.length > MAX_BELL_ENTITIES ? [] : bell.entityIds;
  return Buffer.from(JSON.stringify({ entityIds }));
}

/** Anything that is no bell counts as one that names nothing. */
export function decodeBell(bytes: Uint8Array): Bell {
  if (bytes.length > MAX_BELL_BYTES) return { entityIds: [] };
  try {
    const { entityIds } = JSON.parse(Buffer.from(bytes).toString("utf8")) as Partial<Bell>;
    if (!Array.isArray(entityIds) || entityIds.length > MAX_BELL_ENTITIES) return { entityIds: [] };
    return { entityIds: entityIds.filter((id) => typeof id === "string") };
  } catch {
    return { entityIds: [] };
  }
}
