import { type Pattern, WILDCARD } from "./scope.ts";

/** Whether the pattern matches a valid resource. `*` never spans segments, so one walk decides: no backtracking. */
export function matches(pattern: Pattern, resource: string): boolean {
  let start = 0;
  for (const segment of pattern.segments) {
    if (start > resource.length) return false;
    const dot = resource.indexOf(".", start);
    const end = dot === -1 ? resource.length : dot;
    if (segment !== WILDCARD && (end - start !== segment.length || !resource.startsWith(segment, start))) {
      return false;
    }
    start = end + 1;
  }
  return pattern.rest || start > resource.length;
}

/** Whether every resource the inner pattern matches, the outer one matches too. */
export function contains(outer: Pattern, inner: Pattern): boolean {
  if (outer.segments.length > inner.segments.length) return false;
  if (!outer.rest && (inner.rest || inner.segments.length !== outer.segments.length)) return false;
  return outer.segments.every((segment, at) => segment === WILDCARD || segment === inner.segments[at]);
}

/** What both patterns match: again one pattern, or nothing. */
export function overlap(left: Pattern, right: Pattern): Pattern | undefined {
  const [short, long] = left.segments.length <= right.segments.length ? [left, right] : [right, left];
  if (!short.rest && short.segments.length !== long.segments.length) return undefined;
  const segments: string[] = [];
  for (const [at, segment] of long.segments.entries()) {
    const other = short.segments[at] ?? WILDCARD;
    if (segment !== WILDCARD && other !== WILDCARD && segment !== other) return undefined;
    segments.push(segment === WILDCARD ? other : segment);
  }
  return { segments, rest: short.rest && long.rest };
}
