import type { KeyView } from "@gatehouse/access";
import type { Decision } from "./decision.ts";
import type { LeasePool } from "./lease-pool.ts";
import { seesAccount } from "./sight.ts";

/**
 * A decision as a verifier may be told it: without the limits on accounts above the verifier's own, whose numbers are
 * not its business. What they decided stands. Most verifiers are the provider's, and nothing is above them.
 */
export function seenBy(verifier: KeyView, made: Later, pool: Limits): Later {
  if (verifier.chain.length <= 1) return made;
  if (made instanceof Promise) return made.then((decision) => shown(verifier, decision, pool));
  return shown(verifier, made, pool);
}

type Later = Decision | Promise<Decision>;
type Limits = Pick<LeasePool, "bucket">;

function shown(verifier: KeyView, decision: Decision, pool: Limits): Decision {
  const { binding, warnings } = decision;
  if (binding === undefined && warnings.length === 0) return decision;
  const seesBinding = binding === undefined || sees(verifier, decision, binding.limit.nodeId);
  const seen = warnings.filter((id) => sees(verifier, decision, pool.bucket(id)?.limit.nodeId));
  if (seesBinding && seen.length === warnings.length) return decision;
  return { ...decision, binding: seesBinding ? binding : undefined, warnings: seen };
}

function sees(verifier: KeyView, { entry, target }: Decision, nodeId: string | undefined): boolean {
  if (nodeId === undefined) return false;
  if (nodeId === entry?.key.id || nodeId === entry?.parent?.id) return true;
  return target !== undefined && seesAccount(verifier, target, nodeId);
}
