import { DecisionCode } from "@gatehouse/proto/authz";
import type { LoadReport } from "./load.ts";

/**
 * On a machine that others use as well, a process that was not let run for a second answers that nothing is known; up to
 * one call in a thousand, which no median is moved by, and which the report says.
 */
const INDETERMINATE_SHARE = 0.001;

/** How many answers said that nothing is known. */
export function indeterminateOf({ codes }: Pick<LoadReport, "codes">): number {
  return codes[DecisionCode.INDETERMINATE] ?? 0;
}

/** Throws, and says what there was instead, where answers are not what was expected. */
export function requireAnswers(
  { calls, codes }: Pick<LoadReport, "calls" | "codes">,
  expected: DecisionCode,
): void {
  const unknown = expected === DecisionCode.INDETERMINATE ? 0 : indeterminateOf({ codes });
  const asExpected = codes[expected] ?? 0;
  if (asExpected + unknown === calls && unknown <= calls * INDETERMINATE_SHARE) return;
  const answered = Object.values(codes).reduce((sum, count) => sum + count, 0);
  const others = Object.entries(codes)
    .filter(([code]) => Number(code) !== expected)
    .map(([code, count]) => `${count} ${DecisionCode[Number(code)] ?? code}`);
  if (answered < calls) others.push(`${calls - answered} without a message`);
  throw new Error(
    `of ${calls} calls only ${asExpected} were answered ${DecisionCode[expected]}: ${others.join(", ")}`,
  );
}
