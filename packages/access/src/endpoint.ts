import type { KeyView } from "./node.ts";

/**
 * May the key call the endpoint of that name? Where it or its parent key is held to endpoints, this one must be among
 * them: another one of the same resource is not.
 */
export function isEndpointAllowed({ key, parent }: Pick<KeyView, "key" | "parent">, name: string): boolean {
  return admits(key.endpoints, name) && (parent === undefined || admits(parent.endpoints, name));
}

function admits(endpoints: KeyView["key"]["endpoints"], name: string): boolean {
  if (endpoints.length === 0) return true;
  for (const endpoint of endpoints) if (endpoint.name === name) return true;
  return false;
}
