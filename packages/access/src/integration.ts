import type { KeyView } from "./node.ts";

/** May the key be used through the integration? Neither it nor its parent key may be barred from it; "" is none. */
export function isIntegrationAllowed(
  { key, parent }: Pick<KeyView, "key" | "parent">,
  integration: string,
): boolean {
  if (integration === "") return true;
  if (key.deniedIntegrations.includes(integration)) return false;
  return parent === undefined || !parent.deniedIntegrations.includes(integration);
}
