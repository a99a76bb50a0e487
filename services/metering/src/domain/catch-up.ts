import { failedPrecondition, invalid } from "@gatehouse/service/failure";
import type { Proof } from "./mirror.ts";

/** A position in a change log. */
interface Position {
  readonly incarnation: string;
  readonly revision: number;
}

/** How far the mirror of identity is proven, and how tokens are read. */
export interface FollowedIdentity extends Proof {
  position(): Position | undefined;
  /** Undefined for what no service wrote. */
  readToken(token: string): (Position & { readonly source: string }) | undefined;
}

/** Returns once metering knows at least what a freshness token of identity's says; at once for no token. */
export type CatchUp = (token: string) => Promise<void>;

/**
 * The token is what the asker's reading of identity was true at; nodes that this mirror does not know after that
 * do not exist for it. Throws Failure INVALID_ARGUMENT for what is no token, FAILED_PRECONDITION for one that
 * identity's log has not reached or that is of another history of it, UNAVAILABLE where identity is silent.
 */
export function catchUpWith(identity: FollowedIdentity): CatchUp {
  return async (token) => {
    if (token === "") return;
    const wanted = identity.readToken(token);
    if (wanted?.source !== "identity") {
      throw invalid([{ field: "identity_freshness", description: "must be a freshness token of identity" }]);
    }
    if (reached(identity.position(), wanted)) return;
    await identity.prove();
    if (!reached(identity.position(), wanted)) {
      const message = "the freshness token is ahead of identity's log, or of another history of it";
      throw failedPrecondition("FRESHNESS_UNREACHABLE", message);
    }
  };
}

function reached(at: Position | undefined, wanted: Position): boolean {
  return at?.incarnation === wanted.incarnation && at.revision >= wanted.revision;
}
