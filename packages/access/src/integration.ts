import type { KeyView } from "./node.ts";

/** An integration's name in the one spelling in which it is kept and compared; undefined for what can be none. */
export function integrationName(text: string): string | undefined {
  return text.length <= MAX_LENGTH && KEBAB_CASE.test(text) ? text.toLowerCase() : undefined;
}

/** May the key be used through the integration? Neither it nor its parent key may be barred from it; "" is none. */
export function isIntegrationAllowed(
  { key, parent }: Pick<KeyView, "key" | "parent">,
  integration: string,
): boolean {
  if (integration === "") return true;
  if (key.deniedIntegrations.includes(integration)) return false;
  return parent === undefined || !parent.deniedIntegrations.includes(integration);
}

const MAX_LENGTH = 63;
const KEBAB_CASE = /^[a-z0-9]+(-[a-z0-9]+)*$/i;
