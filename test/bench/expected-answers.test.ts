import { DecisionCode } from "@gatehouse/proto/authz";
import { describe, expect, it } from "vitest";
import { indeterminateOf, requireAnswers } from "./expected-answers.ts";

const { VALID, INDETERMINATE, RATE_LIMITED, UNSPECIFIED } = DecisionCode;
const answers = (codes: Record<number, number>, calls = 4000) => ({ calls, codes });

describe("answers of a load", () => {
  it("may be INDETERMINATE for one call in a thousand, which is counted", () => {
    const few = answers({ [VALID]: 3996, [INDETERMINATE]: 4 });
    expect(() => requireAnswers(few, VALID)).not.toThrow();
    expect([indeterminateOf(few), indeterminateOf(answers({}))]).toEqual([4, 0]);
  });

  it("are refused for more than that, or for any other, naming what they were", () => {
    const message = "of 4000 calls only 3995 were answered VALID: 5 INDETERMINATE";
    expect(() => requireAnswers(answers({ [VALID]: 3995, [INDETERMINATE]: 5 }), VALID)).toThrow(message);
    expect(() => requireAnswers(answers({ [VALID]: 3999, [RATE_LIMITED]: 1 }), VALID)).toThrow(
      "only 3999 were answered VALID: 1 RATE_LIMITED",
    );
    expect(() => requireAnswers(answers({ [VALID]: 3998 }), VALID)).toThrow("VALID: 2 without a message");
    expect(() => requireAnswers(answers({ [VALID]: 4000 }), UNSPECIFIED)).toThrow("4000 VALID");
  });
});
