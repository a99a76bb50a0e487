import type { Fields } from "../fields.ts";

const MAX_PREFIXES = 20;
const PREFIX = /^[A-Za-z0-9_-]{2,20}$/;

/**
 * What imported keys may begin with. No key may begin with two of them, nor with one of them and as the keys that are
 * minted here do: it has to be plain from its first characters where a key is looked for.
 */
export function checkImportPrefixes(fields: Fields, prefixes: readonly string[], ownPrefix: string): void {
  const field = "import_prefixes";
  if (prefixes.length > MAX_PREFIXES) fields.wrong(field, `must have at most ${MAX_PREFIXES}`);
  const bounded = prefixes.slice(0, MAX_PREFIXES);
  for (const [index, prefix] of bounded.entries()) {
    const at = `${field}[${index}]`;
    const others = bounded.filter((_, other) => other !== index);
    if (!PREFIX.test(prefix)) fields.wrong(at, "must be 2 to 20 of letters, digits, _ and -");
    else if (overlap(prefix, `${ownPrefix}_`)) fields.wrong(at, "is how the keys minted here begin");
    else if (others.some((other) => prefix.startsWith(other))) {
      fields.wrong(at, "begins with another of them, or is there twice");
    }
  }
}

function overlap(left: string, right: string): boolean {
  return left.startsWith(right) || right.startsWith(left);
}
