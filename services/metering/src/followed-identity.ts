import { decodeFreshness, type Follower } from "@gatehouse/changefeed";
import { unavailable, withDeadline } from "@gatehouse/service";
import type { FollowedIdentity } from "./domain/catch-up.ts";
import type { MirrorChange } from "./storage/mirror-replica.ts";

/** Below the second that callers of Acquire wait: they are to hear that identity is silent, not nothing. */
const PROVE_MS = 800;

/** The follower as the domain sees it: a proof takes bounded time, and fails in one way. */
export function followedIdentity(follower: Follower<MirrorChange>): FollowedIdentity {
  return {
    ageMs: () => follower.ageMs(),
    position: () => follower.position,
    readToken: decodeFreshness,
    async prove() {
      try {
        await withDeadline(follower.prove(), PROVE_MS, () => new Error("identity did not answer in time"));
      } catch (cause) {
        throw unavailable("what identity knows could not be read in time", cause);
      }
    },
  };
}
