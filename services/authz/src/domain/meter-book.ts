import { SharedRead } from "@gatehouse/changefeed";
import { invalid, type Violation } from "@gatehouse/service/failure";
import type { VerifyCall } from "./verify.ts";

/** Always there. */
const REQUESTS = "requests";

/**
 * Which meters the provider has declared. A meter is never taken back, so what was once known stays known; one
 * that is not known is looked up, because it may have been declared just now.
 */
export class MeterBook {
  readonly #read: SharedRead<readonly string[]>;
  #known: ReadonlySet<string> = new Set([REQUESTS]);

  /** `read` lists every meter, within its own deadline. */
  constructor(read: () => Promise<readonly string[]>) {
    this.#read = new SharedRead(read);
  }

  knows({ needs }: VerifyCall): boolean {
    for (const { meter } of needs) if (!this.#known.has(meter)) return false;
    return true;
  }

  /**
   * Throws Failure INVALID_ARGUMENT naming every charge of a meter that nobody declared; rejects where identity
   * does not answer.
   */
  async check(calls: readonly VerifyCall[]): Promise<void> {
    if (calls.every((call) => this.knows(call))) return;
    this.#known = new Set([REQUESTS, ...(await this.#read.read())]);
    const bad = calls.flatMap(({ needs, at }) =>
      needs.flatMap(({ meter }, i): Violation[] =>
        this.#known.has(meter) ? [] : [{ field: `${at}charges[${i}].meter`, description: "no such meter" }],
      ),
    );
    if (bad.length > 0) throw invalid(bad);
  }
}
