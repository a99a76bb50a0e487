import { hash } from "node:crypto";
import type { Decision } from "../domain/decision.ts";
import type { VerifyCall } from "../domain/verify-call.ts";

/** How long a retry is not charged again. */
const REMEMBERED_MS = 60_000;
/** A bound on memory: the oldest go first, and their retries are charged anew. */
const CAPACITY = 100_000;

/**
 * What calls that carried a request id were charged for, so that a retry to this replica is charged once. What a
 * retry may do is decided anew, as a peek: a key that was revoked in between is refused.
 *
 * A retry is the same call by the same verifier. Another call under the same id is another call: remembered by
 * its id alone, one key's answer would be given for another's.
 */
export class RequestMemory {
  readonly #charged = new Map<string, Remembered>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Calls that are remembered. */
  get size(): number {
    return this.#charged.size;
  }

  /** The decision of the first such call, if that was charged or is being decided. */
  recall(verifierKeyId: string, requestId: string, call: VerifyCall): Promise<Decision> | undefined {
    const remembered = this.#charged.get(nameOf(verifierKeyId, requestId, call));
    return remembered !== undefined && remembered.untilMs > this.#nowMs() ? remembered.decision : undefined;
  }

  /** Remembers a call from now on; it is forgotten if it turns out not to be charged. */
  remember(verifierKeyId: string, requestId: string, call: VerifyCall, decision: Promise<Decision>): void {
    const name = nameOf(verifierKeyId, requestId, call);
    this.#charged.delete(name);
    this.#charged.set(name, { decision, untilMs: this.#nowMs() + REMEMBERED_MS });
    const forget = () => this.#charged.delete(name);
    decision.then(({ code }) => code !== "VALID" && forget(), forget);
    this.#forgetOld();
  }

  #forgetOld(): void {
    const nowMs = this.#nowMs();
    for (const [name, { untilMs }] of this.#charged) {
      if (untilMs > nowMs && this.#charged.size <= CAPACITY) return;
      this.#charged.delete(name);
    }
  }
}

interface Remembered {
  readonly decision: Promise<Decision>;
  readonly untilMs: number;
}

// JSON keeps the parts apart: joined as they are, two calls could make one name. Hashed, no key lies about.
function nameOf(verifierKeyId: string, requestId: string, call: VerifyCall): string {
  const { presented, signed, resource, http, address, integration, account, needs, reserveTtlMs } = call;
  const asked = [presented, signed, resource, http?.method, http?.path, address, integration, account];
  const parts = [...asked, needs, reserveTtlMs];
  const name = JSON.stringify([verifierKeyId, requestId, ...parts]);
  return hash("sha256", name, "base64url");
}
