import { overloaded } from "@gatehouse/service/failure";

/** An explanation asks metering and its database: for people, so that a few at once are many. */
const MAX_RUNNING = 16;
/** So that one verifier's tool in a loop leaves room for others. */
const MAX_OF_ONE = 4;

/** How many explanations run at once. */
export class ExplainGate {
  readonly #running = new Map<string, number>();
  #total = 0;

  /** Runs `work` for a verifier's key. Throws Failure RESOURCE_EXHAUSTED where as much is going on as may. */
  async run<T>(keyId: string, work: () => Promise<T>): Promise<T> {
    const own = this.#running.get(keyId) ?? 0;
    if (own >= MAX_OF_ONE || this.#total >= MAX_RUNNING) throw overloaded("too many explanations at once");
    this.#running.set(keyId, own + 1);
    this.#total++;
    try {
      return await work();
    } finally {
      this.#total--;
      const left = this.#running.get(keyId)! - 1;
      if (left === 0) this.#running.delete(keyId);
      else this.#running.set(keyId, left);
    }
  }
}
