import type { Position } from "@gatehouse/changefeed";
import { invalid, type Violation } from "@gatehouse/service/failure";
import { FollowedList, type ListedItems } from "./followed-list.ts";
import type { VerifyCall } from "./verify-call.ts";

/** Of a batch of a thousand calls with sixteen charges each; as many as a person reads. */
const MAX_NAMED = 20;
/** Always there. */
const REQUESTS = "requests";

/**
 * Which meters the provider has declared. One that is not known is looked up, because it may have been declared just
 * now; that one is gone the feed tells.
 */
export class MeterBook {
  readonly #known = new Set([REQUESTS]);
  readonly #list: FollowedList<true>;

  /** `read` lists every meter, within its own deadline. */
  constructor(read: () => Promise<ListedItems<true>>) {
    this.#list = new FollowedList(read, {
      clear: () => {
        this.#known.clear();
        this.#known.add(REQUESTS);
      },
      put: (name) => this.#known.add(name),
      delete: (name) => name !== REQUESTS && this.#known.delete(name),
    });
  }

  knows({ needs }: VerifyCall): boolean {
    for (const { meter } of needs) if (!this.#known.has(meter)) return false;
    return true;
  }

  /**
   * Throws Failure INVALID_ARGUMENT naming every charge of a meter that nobody declared, up to 20; rejects where
   * identity does not answer.
   */
  async check(calls: readonly VerifyCall[]): Promise<void> {
    if (calls.every((call) => this.knows(call))) return;
    await this.#list.fill();
    const bad = calls.flatMap(({ needs, at }) =>
      needs.flatMap(({ meter }, i): Violation[] =>
        this.#known.has(meter) ? [] : [{ field: `${at}charges[${i}].meter`, description: "no such meter" }],
      ),
    );
    if (bad.length > 0) throw invalid(bad.slice(0, MAX_NAMED));
  }

  apply(revision: number, name: string, isDeleted: boolean): void {
    this.#list.apply(revision, name, isDeleted ? undefined : true);
  }

  restart(head: Position): void {
    this.#list.restart(head);
  }
}
