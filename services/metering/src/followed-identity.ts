import { decodeFreshness, type Follower } from "@gatehouse/changefeed";
import { unavailable, withDeadline } from "@gatehouse/service";
import type { FollowedIdentity } from "./domain/catch-up.ts";
import type { MirrorChange } from "./storage/mirror-replica.ts";

/** Below the second that callers of Acquire wait: they are to hear that identity is silent, not nothing. */
const PROVE_MS = 800;

/** The follower as the domain sees it: a proof takes bounded time, and fails in one way. */
export function followedIdentity(
  follower: Follower<MirrorChange>,
): FollowedIdentity & { /** A bell rang: what is proven does not have what it tells of. */ doubt(): void } {
  let doubtedAtProof = -1;
  return {
    ageMs: () => follower.ageMs(),
    // A proof that was begun before the bell may have missed what it tells of, whenever that proof ends.
    isDoubted: () => doubtedAtProof >= follower.provenProof,
    doubt() {
      doubtedAtProof = follower.proofsBegun;
    },
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
