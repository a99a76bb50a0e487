import { matches } from "./pattern.ts";
import { type Pattern, WILDCARD } from "./scope.ts";

/** Up to here comparing prefixes one by one beats slicing the resource at each dot and hashing the pieces. */
const MAX_SCANNED_PREFIXES = 4;

/**
 * Many patterns as one question: does any of them match? Names are a hash lookup, `a.b.**` at most one lookup
 * per segment of the resource; only patterns with an inner `*` are tried one by one.
 */
export class PatternSet {
  readonly #everything: boolean;
  // Undefined when empty: most sets use one form, and a replica holds a million grants.
  readonly #names: ReadonlySet<string> | undefined;
  readonly #fewPrefixes: readonly string[] | undefined;
  readonly #prefixes: ReadonlySet<string> | undefined;
  readonly #general: readonly Pattern[] | undefined;

  constructor(patterns: readonly Pattern[]) {
    const everything = patterns.some(({ rest, segments }) => rest && segments.length === 0);
    const general = patterns.filter(({ segments }) => segments.includes(WILDCARD));
    const fixed = patterns.filter(({ segments }) => !segments.includes(WILDCARD));
    const names = fixed.filter(({ rest }) => !rest).map(joined);
    const prefixes = [...new Set(fixed.filter(({ rest }) => rest).map(joined))];
    this.#everything = everything;
    this.#names = names.length > 0 ? new Set(names) : undefined;
    this.#fewPrefixes = prefixes.length > 0 && prefixes.length <= MAX_SCANNED_PREFIXES ? prefixes : undefined;
    this.#prefixes = prefixes.length > MAX_SCANNED_PREFIXES ? new Set(prefixes) : undefined;
    this.#general = general.length > 0 ? general : undefined;
  }

  /** Expects a valid resource. At most `MAX_SEGMENTS` steps for names and prefixes, and as many per general pattern. */
  matches(resource: string): boolean {
    if (this.#everything) return true;
    if (this.#names?.has(resource)) return true;
    if (this.#fewPrefixes !== undefined && startsWithAny(resource, this.#fewPrefixes)) return true;
    if (this.#prefixes !== undefined && hasPrefixIn(resource, this.#prefixes)) return true;
    return this.#general?.some((pattern) => matches(pattern, resource)) ?? false;
  }
}

const DOT = ".".charCodeAt(0);

function startsWithAny(resource: string, prefixes: readonly string[]): boolean {
  for (const prefix of prefixes) {
    if (!resource.startsWith(prefix)) continue;
    if (resource.length === prefix.length || resource.charCodeAt(prefix.length) === DOT) return true;
  }
  return false;
}

function hasPrefixIn(resource: string, prefixes: ReadonlySet<string>): boolean {
  for (let dot = resource.indexOf("."); dot !== -1; dot = resource.indexOf(".", dot + 1)) {
    if (prefixes.has(resource.slice(0, dot))) return true;
  }
  return prefixes.has(resource);
}

function joined(pattern: Pattern): string {
  return pattern.segments.join(".");
}
