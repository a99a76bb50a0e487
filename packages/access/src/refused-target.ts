import { isId } from "@gatehouse/keys";
import { METER_NAME } from "./meter.ts";
import { providerRulesOf } from "./node.ts";
import type { Principal } from "./principal.ts";
import { SLUG_PATTERN } from "./slug.ts";

/** What mutations name by id. */
const NAMED = ["acc", "key", "usr", "inv", "lim", "rol", "pln", "alr"] as const;

/**
 * What a refused attempt named, as the audit keeps it: empty for all that has not the shape of an id or a name.
 * Sooner or later somebody pastes a secret where an id belongs, and everybody who reads the audit would have it. What
 * is minted here has no such shape; an imported credential may have, so what begins like one is not kept either.
 */
export function refusedTarget(named: string, actor: Principal | undefined): string {
  const words = named.split("/");
  const prefixes = (actor && providerRulesOf(actor.view.chain)?.importPrefixes) ?? [];
  if (words.some((word) => prefixes.some((prefix) => word.startsWith(prefix)))) return "";
  const shaped =
    NAMED.some((prefix) => isId(prefix, named)) ||
    METER_NAME.test(named) ||
    (words.length <= 2 && words.every((word) => SLUG_PATTERN.test(word)));
  return shaped ? named : "";
}
