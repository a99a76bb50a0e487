import { hashSecret, type KeyFormat, leakPattern } from "@gatehouse/keys";

/** What may be a credential in a text that somebody found. */
export interface FoundCredential {
  readonly presented: string;
  /** What it says of itself, where it is of the own format and authentic; else it may be an imported one. */
  readonly keyId: string | undefined;
  readonly hash: string;
}

/** What may be imported keys in one text: more are no find, but a list. */
const MAX_IMPORTED = 20;

/**
 * All that may be credentials in a text of bounded length, each once: own keys wherever they stand, glued to other
 * text too; imported ones as the whole text, and as each of `mostImported` words from a registered prefix on.
 */
export function foundCredentials(
  text: string,
  format: KeyFormat,
  importPrefixes: readonly string[],
  mostImported = MAX_IMPORTED,
): FoundCredential[] {
  const own = [...new Set(text.match(leakPattern(format.prefix)))].flatMap((presented) => {
    const keyId = format.authentic(presented) ? format.parse(presented)?.keyId : undefined;
    return keyId === undefined ? [] : [{ presented, keyId, hash: hashSecret(presented) }];
  });
  const imported = [...wordsFrom(text, importPrefixes, mostImported)].map((presented) => ({
    presented,
    keyId: undefined,
    hash: hashSecret(presented),
  }));
  return [...own, ...imported];
}

/** The text itself, if it begins with a prefix, and every run of what keys are usually made of from a prefix on. */
function wordsFrom(text: string, prefixes: readonly string[], most: number): ReadonlySet<string> {
  const words = new Set<string>();
  const trimmed = text.trim();
  for (const prefix of prefixes) {
    if (trimmed.startsWith(prefix)) words.add(trimmed);
    for (let at = text.indexOf(prefix); at >= 0; at = text.indexOf(prefix, at + 1)) {
      if (words.size >= most) return words;
      words.add(/^[A-Za-z0-9_-]*/.exec(text.slice(at))![0]);
    }
  }
  return words;
}
