import { DecisionCode, type VerifyResponse } from "@gatehouse/proto/authz";

/** How long a retry is answered as the first call was. */
const REMEMBERED_MS = 60_000;
/** A bound on memory: the oldest go first, and their retries are charged anew. */
const CAPACITY = 100_000;

/** The answers of calls that carried a request id, so that a retry to this replica charges once. */
export class RequestMemory {
  readonly #answers = new Map<
    string,
    { readonly answer: Promise<VerifyResponse>; readonly untilMs: number }
  >();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The answer of the first call by this verifier with this id. One that failed, or could not be decided, is forgotten. */
  once(
    verifierKeyId: string,
    requestId: string,
    decide: () => Promise<VerifyResponse>,
  ): Promise<VerifyResponse> {
    const name = `${verifierKeyId} ${requestId}`;
    const known = this.#answers.get(name);
    if (known !== undefined && known.untilMs > this.#nowMs()) return known.answer;
    const answer = decide();
    this.#answers.delete(name);
    this.#answers.set(name, { answer, untilMs: this.#nowMs() + REMEMBERED_MS });
    const forget = () => this.#answers.delete(name);
    answer.then(({ code }) => code === DecisionCode.INDETERMINATE && forget(), forget);
    this.#forget();
    return answer;
  }

  #forget(): void {
    const nowMs = this.#nowMs();
    for (const [name, { untilMs }] of this.#answers) {
      if (untilMs > nowMs && this.#answers.size <= CAPACITY) return;
      this.#answers.delete(name);
    }
  }
}
