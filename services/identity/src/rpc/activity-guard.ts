import type { Principal } from "@gatehouse/access";
import type { Guard } from "@gatehouse/service";
import type { SeenKeys } from "../domain/keys/activity.ts";

/** The guard, noting when each key was let in: a call to identity is a use of the key too. */
export function activityGuard(
  guard: Guard<Principal>,
  seen: SeenKeys,
  nowMs: () => number,
): Guard<Principal> {
  const note = (principal: Principal | undefined) => {
    if (principal !== undefined) seen.saw(principal.view.key.id, nowMs());
  };
  return (method, rule) => {
    const admit = guard(method, rule);
    return (call) => {
      const admitted = admit(call);
      if (!(admitted instanceof Promise)) {
        note(admitted);
        return admitted;
      }
      return admitted.then((principal) => {
        note(principal);
        return principal;
      });
    };
  };
}
