import { hash } from "node:crypto";

/** SHA-256, base64url, of plain data: the same whatever the order in which its properties were written. */
export function digestOf(value: unknown): string {
  return hash("sha256", JSON.stringify(value, inOrder), "base64url");
}

function inOrder(_name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  // Entries, not an object rebuilt: its numeric names would jump to the front, and `__proto__` vanish.
  return Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
}
