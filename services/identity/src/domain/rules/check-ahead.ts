import type { Principal } from "@gatehouse/access";
import { Failure } from "@gatehouse/service/failure";
import type { Fields } from "../fields.ts";

/**
 * Refuses a request that is malformed, with all that is wrong with it: also what it takes a look-up to tell, which
 * `judge` adds. What is well-formed is looked up behind the gates alone: it may be a create that is repeated, when what
 * it named is gone. Where `judge` fails, as it does out of reach, what needs no look-up is said. Sub-keys change
 * nothing, so nothing is looked up for them. Throws Failure INVALID_ARGUMENT.
 */
export async function checkAhead(
  actor: Principal,
  fields: Fields,
  judge: () => Promise<unknown> | unknown,
): Promise<void> {
  if (fields.areFaulty && actor.view.key.kind !== "SUB") {
    try {
      await judge();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }
  fields.check();
}
