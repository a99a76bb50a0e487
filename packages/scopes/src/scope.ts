import { ScopeSyntaxError } from "./scope-syntax-error.ts";

/** Characters of one segment: room for a UUID or a long symbol. */
export const MAX_SEGMENT_LENGTH = 64;
/** Segments of one scope or resource; bounds every walk over one. */
export const MAX_SEGMENTS = 16;
/** Characters of one scope or resource; `!` is not counted, so that whatever can be named can be denied. */
export const MAX_SCOPE_LENGTH = 256;

export const WILDCARD = "*";
const REST = "**";

/** A set of resources: `segments` in order, where `*` stands for any one, then anything or nothing if `rest`. */
export interface Pattern {
  readonly segments: readonly string[];
  readonly rest: boolean;
}

/** One parsed scope. `text` is what was written. */
export interface Scope extends Pattern {
  readonly text: string;
  readonly deny: boolean;
}

/** The name of one thing a call may touch, `weather.read`: checked, so no wildcards in it. */
export type Resource = string & { readonly __resource: true };

/** Reads one scope. Throws `ScopeSyntaxError`, carrying `index` when given. */
export function parseScope(text: string, index?: number): Scope {
  const deny = text.startsWith("!");
  const segments = splitSegments(text, deny ? 1 : 0, index);
  const rest = segments.at(-1) === REST;
  if (rest) segments.pop();
  for (const segment of segments) {
    if (segment === REST) throw new ScopeSyntaxError(text, "has ** before its last segment", index);
    if (segment !== WILDCARD) checkName(text, segment, index);
  }
  // A resource has a first segment, so `*.**` is `**`; one spelling inside keeps containment exact.
  if (rest && segments.length === 1 && segments[0] === WILDCARD) segments.pop();
  return { text, deny, segments, rest };
}

/** Reads one resource. Throws `ScopeSyntaxError`. */
export function parseResource(text: string): Resource {
  for (const segment of splitSegments(text, 0)) checkName(text, segment);
  return text as Resource;
}

/** Whether `parseResource` would accept the text; one pass, no allocation, constant time on oversize text. */
export function isResource(text: string): text is Resource {
  if (text.length > MAX_SCOPE_LENGTH) return false;
  let segments = 1;
  let segmentLength = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === DOT) {
      if (segmentLength === 0 || ++segments > MAX_SEGMENTS) return false;
      segmentLength = 0;
    } else if (code >= 128 || NAME_CHARACTERS[code] !== 1 || ++segmentLength > MAX_SEGMENT_LENGTH) {
      return false;
    }
  }
  return segmentLength > 0;
}

const DOT = ".".charCodeAt(0);
const NAME_CHARACTERS = new Uint8Array(128);
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") {
  NAME_CHARACTERS[character.charCodeAt(0)] = 1;
}

function splitSegments(text: string, from: number, index?: number): string[] {
  const length = text.length - from;
  if (length === 0) throw new ScopeSyntaxError(text, "is empty", index);
  // Before splitting: a megabyte of dots must not become a million strings.
  if (length > MAX_SCOPE_LENGTH) {
    throw new ScopeSyntaxError(text, `is longer than ${MAX_SCOPE_LENGTH} characters`, index);
  }
  const segments = text.slice(from).split(".");
  if (segments.length > MAX_SEGMENTS) {
    throw new ScopeSyntaxError(text, `has more than ${MAX_SEGMENTS} segments`, index);
  }
  return segments;
}

function checkName(text: string, segment: string, index?: number): void {
  if (segment === "") throw new ScopeSyntaxError(text, "has an empty segment", index);
  if (segment.length > MAX_SEGMENT_LENGTH) {
    throw new ScopeSyntaxError(text, `has a segment longer than ${MAX_SEGMENT_LENGTH} characters`, index);
  }
  for (let at = 0; at < segment.length; at++) {
    const code = segment.charCodeAt(at);
    if (code >= 128 || NAME_CHARACTERS[code] !== 1) {
      throw new ScopeSyntaxError(text, "has a character other than A-Z a-z 0-9 _ - in a name", index);
    }
  }
}
