/** A position in one change log: how many changes this incarnation of it has committed. */
export interface Position {
  readonly incarnation: string;
  readonly revision: number;
}

/** A position as a feed's messages, or the database's driver, carry it. Throws where an answer left it out. */
export function positionOf(carried: CarriedPosition | undefined): Position {
  if (carried === undefined) throw new Error("a feed answered without its position");
  return { incarnation: carried.incarnation, revision: Number(carried.revision) };
}

interface CarriedPosition {
  readonly incarnation: string;
  readonly revision: bigint | string;
}

export type FeedName = "identity" | "metering";

/** A position together with the log it is of: what a freshness token says. */
export interface Freshness extends Position {
  readonly source: FeedName;
}

const MAX_TOKEN_LENGTH = 200;
const TOKEN = /^(identity|metering):([0-9a-f-]{36}):([0-9]{1,15})$/;

/** Opaque to callers: they hand it back, they do not read it. */
export function encodeFreshness(source: FeedName, position: Position): string {
  return Buffer.from(`${source}:${position.incarnation}:${position.revision}`).toString("base64url");
}

/** Undefined for anything that `encodeFreshness` did not write. */
export function decodeFreshness(token: string): Freshness | undefined {
  if (token.length > MAX_TOKEN_LENGTH) return undefined;
  const match = TOKEN.exec(Buffer.from(token, "base64url").toString("latin1"));
  if (match === null) return undefined;
  const freshness = { source: match[1] as FeedName, incarnation: match[2]!, revision: Number(match[3]) };
  // Decoding base64url skips what does not belong there; what is not written the same way again was not ours.
  return encodeFreshness(freshness.source, freshness) === token ? freshness : undefined;
}
