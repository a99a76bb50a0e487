/*
 * For tests only: the rules of the README, written the obvious way, and generators over a world small enough
 * that patterns meet.
 */
import fc from "fast-check";
import { compileGrant, type Grant } from "../src/grant.ts";

/** Given scopes as plain lists. */
export interface PlainScopes {
  readonly roles: readonly (readonly string[])[];
  readonly scopes: readonly string[];
}

const NAMES = ["a", "b", "ab"];
const MAX_DEPTH = 4;

export function patternMatches(pattern: readonly string[], resource: readonly string[]): boolean {
  const [head, ...tail] = pattern;
  if (head === undefined) return resource.length === 0;
  if (head === "**") return true;
  return (
    resource.length > 0 && (head === "*" || head === resource[0]) && patternMatches(tail, resource.slice(1))
  );
}

export function listAllows(list: readonly string[], resource: string): boolean {
  const hit = (pattern: string) => patternMatches(pattern.split("."), resource.split("."));
  const allows = list.filter((scope) => !scope.startsWith("!"));
  const denies = list.filter((scope) => scope.startsWith("!")).map((scope) => scope.slice(1));
  if (list.length === 0 || denies.some(hit)) return false;
  return allows.length === 0 || allows.some(hit);
}

export function givenAllows({ roles, scopes }: PlainScopes, resource: string): boolean {
  const denies = scopes.filter((scope) => scope.startsWith("!"));
  if (denies.length > 0 && !listAllows(denies, resource)) return false;
  if (roles.some((role) => listAllows(role, resource))) return true;
  const onlyDenies = denies.length === scopes.length;
  return onlyDenies && roles.length > 0 ? false : listAllows(scopes, resource);
}

/** Every resource of the small world, with one name that no pattern mentions. */
export function universe(): string[] {
  let level = [""];
  const all: string[] = [];
  for (let depth = 1; depth <= MAX_DEPTH; depth++) {
    level = level.flatMap((stem) => [...NAMES, "z"].map((name) => (stem === "" ? name : `${stem}.${name}`)));
    all.push(...level);
  }
  return all;
}

export const arbitraryResource = fc
  .array(fc.constantFrom(...NAMES, "z"), { minLength: 1, maxLength: MAX_DEPTH })
  .map((segments) => segments.join("."));

export const arbitraryPattern = fc
  .tuple(fc.array(fc.constantFrom(...NAMES, "*"), { maxLength: MAX_DEPTH }), fc.boolean())
  .map(([segments, rest]) => [...segments, ...(rest || segments.length === 0 ? ["**"] : [])].join("."));

const arbitraryScope = fc
  .tuple(arbitraryPattern, fc.integer({ min: 0, max: 2 }))
  .map(([pattern, sign]) => (sign === 0 ? `!${pattern}` : pattern));

const arbitraryList = fc.oneof(
  { weight: 4, arbitrary: fc.array(arbitraryScope, { maxLength: 4 }) },
  // More prefixes than are scanned one by one.
  { weight: 1, arbitrary: fc.array(arbitraryScope, { minLength: 12, maxLength: 20 }) },
);

export const arbitraryGiven: fc.Arbitrary<PlainScopes> = fc.record({
  roles: fc.array(arbitraryList, { maxLength: 3 }),
  scopes: arbitraryList,
});

export const arbitraryGrant: fc.Arbitrary<Grant> = arbitraryGiven.map(compileGrant);
