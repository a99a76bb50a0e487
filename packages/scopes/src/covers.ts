/*
 * Containment of grants, by algebra on patterns rather than by trying resources.
 *
 * The narrower grant is written as a union of pieces "pattern P without denies N". A piece is covered by a level
 * of the wider grant when
 *   - each own deny of the level that meets P takes away only what N takes away too, and
 *   - one admission contains P, and what that admission's own denies take out of P is in N or covered by another
 *     admission of the level (so administrator and fund-manager together cover `gatehouse.**`).
 *
 * "In N" asks for one deny that contains the whole. Names are practically endless, so a union of patterns contains
 * a pattern only if one of its members does; the exception, `a` and `a.*.**` making up `a.**`, is answered "no".
 * Every shortcut here errs on the side of "no", so "yes" is always true.
 */
import type { Admission, Grant, Level } from "./grant.ts";
import { contains, overlap } from "./pattern.ts";
import { type Pattern, parseScope } from "./scope.ts";
import { ScopeSyntaxError } from "./scope-syntax-error.ts";

/** Pattern comparisons of one answer, a few milliseconds; past it the answer is "no". Ordinary grants use hundreds. */
export const MAX_COVER_STEPS = 200_000;

/** Pieces kept while levels are multiplied out; a level that would pass it contributes only its own denies. */
const MAX_PIECES = 2_000;

/** What a narrower grant allows, in part: the pattern without the denies. */
interface Piece {
  readonly pattern: Pattern;
  readonly denies: readonly Pattern[];
}

/** Counts pattern comparisons down; shared by one whole answer. */
export interface StepBudget {
  left: number;
}

/**
 * Whether the wider grant allows every resource under the pattern `within` that the narrower one allows.
 * True is always right; false may be a containment too intricate to see (see above) or to afford.
 * Throws `ScopeSyntaxError` when `within` is not a plain pattern.
 */
export function covers(
  wider: Grant,
  narrower: Grant,
  within: string,
  budget: StepBudget = { left: MAX_COVER_STEPS },
): boolean {
  const bound = parseScope(within);
  if (bound.deny) throw new ScopeSyntaxError(within, "denies, and cannot bound a comparison");
  const pieces = piecesOf(narrower, bound, budget);
  return wider.levels.every((level) => pieces.every((piece) => levelCovers(level, piece, budget)));
}

/** Writes the grant as pieces, multiplying out its levels; leaving a level out only makes the pieces larger. */
function piecesOf(grant: Grant, bound: Pattern, budget: StepBudget): readonly Piece[] {
  const ownDenies = grant.levels.flatMap(({ denies }) => denies);
  let pieces: readonly Piece[] = [{ pattern: bound, denies: ownDenies }];
  for (const level of grant.levels) pieces = narrowed(pieces, level, budget) ?? pieces;
  return pieces;
}

function narrowed(pieces: readonly Piece[], level: Level, budget: StepBudget): Piece[] | undefined {
  const result: Piece[] = [];
  for (const piece of pieces) {
    for (const admission of level.admissions) {
      const denies = admission.denies.length > 0 ? [...piece.denies, ...admission.denies] : piece.denies;
      for (const allow of admission.allows ?? [ANYTHING]) {
        if (!spend(budget)) return undefined;
        const pattern = overlap(piece.pattern, allow);
        if (pattern !== undefined) result.push({ pattern, denies });
        if (result.length > MAX_PIECES) return undefined;
      }
    }
  }
  return result;
}

function levelCovers(level: Level, piece: Piece, budget: StepBudget): boolean {
  for (const deny of level.denies) {
    if (!spend(budget)) return false;
    const lost = overlap(piece.pattern, deny);
    if (lost !== undefined && !anyContains(piece.denies, lost, budget)) return false;
  }
  return admitted(level.admissions, piece, budget);
}

function admitted(admissions: readonly Admission[], piece: Piece, budget: StepBudget): boolean {
  if (anyContains(piece.denies, piece.pattern, budget)) return true;
  return admissions.some((admission) => {
    if (admission.allows !== undefined && !anyContains(admission.allows, piece.pattern, budget)) return false;
    // What this admission denies it cannot give back, so only the others are asked; that also ends the recursion.
    const others = admissions.filter((other) => other !== admission);
    return admission.denies.every((deny) => {
      if (!spend(budget)) return false;
      const lost = overlap(piece.pattern, deny);
      return lost === undefined || admitted(others, { pattern: lost, denies: piece.denies }, budget);
    });
  });
}

function anyContains(patterns: readonly Pattern[], inner: Pattern, budget: StepBudget): boolean {
  return patterns.some((pattern) => spend(budget) && contains(pattern, inner));
}

function spend(budget: StepBudget): boolean {
  return budget.left > 0 && budget.left-- > 0;
}

const ANYTHING: Pattern = { segments: [], rest: true };
