import { hash } from "node:crypto";
import type { Decision } from "../domain/decision.ts";
import type { VerifyCall } from "../domain/verify-call.ts";

/** How long a retry is not charged again. */
const REMEMBERED_MS = 60_000;
/** A bound on memory: at half a kilobyte each 50 MB. */
const CAPACITY = 100_000;

/** What stands of a decision that charged. All else its retries find anew, so no key is kept for their sake. */
export type Charge = Pick<Decision, "decisionId" | "reservedUntilMs" | "binding" | "warnings" | "cost">;

/**
 * What calls that carried a request id were charged for, so that a retry to this replica is charged once. What a
 * retry may do is decided anew, as a peek: a key that was revoked in between is refused.
 *
 * A retry is the same call by the same verifier. Another call under the same id is another call: remembered by
 * its id alone, one key's answer would be given for another's. A call that spends nothing, neither units nor a nonce, is
 * not remembered: deciding it again is all that a retry would do.
 *
 * The verifiers of an organization are never remembered for more calls than there is room left: alone for half of the
 * capacity, n greedy organizations leave 1/(n+1). Beyond that their own oldest go, and their retries are charged anew.
 * An organization makes as many keys as it likes, so that a share for each key would be none.
 */
export class RequestMemory {
  /** By organization, the one first whose latest call is the longest ago; its calls in the order that they came. */
  readonly #organizations = new Map<string, Map<string, Remembered>>();
  readonly #nowMs: () => number;
  readonly #capacity: number;
  #size = 0;

  constructor(nowMs: () => number, capacity = CAPACITY) {
    this.#nowMs = nowMs;
    this.#capacity = capacity;
  }

  /** Calls that are remembered. */
  get size(): number {
    return this.#size;
  }

  /** What the first such call was charged, if it was or is being decided; what resolves to undefined was not. */
  recall(
    { keyId, organizationId }: Asker,
    requestId: string,
    call: VerifyCall,
  ): Charge | Promise<Charge | undefined> | undefined {
    const remembered = this.#organizations.get(organizationId)?.get(nameOf(keyId, requestId, call));
    return remembered !== undefined && remembered.untilMs > this.#nowMs() ? remembered.charge : undefined;
  }

  /** Remembers a call from now on, if it spends anything; it is forgotten if it turns out not to be charged. */
  remember(
    { keyId, organizationId }: Asker,
    requestId: string,
    call: VerifyCall,
    decision: Promise<Decision>,
  ): void {
    if (call.signed === undefined && call.needs.every(({ units }) => units === 0)) return;
    const name = nameOf(keyId, requestId, call);
    const settle = (charge?: Charge) => {
      if (charge !== undefined) remembered.charge = charge;
      else if (this.#organizations.get(organizationId)?.get(name) === remembered)
        this.#forget(organizationId, name);
      return charge;
    };
    const charge = decision.then(
      (made) => settle(made.code === "VALID" ? chargeOf(made) : undefined),
      () => settle(),
    );
    const remembered: Remembered = { charge, untilMs: this.#nowMs() + REMEMBERED_MS };
    const own = this.#organizations.get(organizationId) ?? new Map<string, Remembered>();
    // As the latest of the latest.
    this.#organizations.delete(organizationId);
    this.#organizations.set(organizationId, own);
    if (!own.delete(name)) this.#size++;
    own.set(name, remembered);
    this.#forgetOld(organizationId, own);
  }

  #forgetOld(organizationId: string, own: Map<string, Remembered>): void {
    const nowMs = this.#nowMs();
    for (const [id, calls] of this.#organizations) {
      for (const [name, { untilMs }] of calls) {
        if (untilMs > nowMs) break;
        this.#forget(id, name);
      }
      if (calls.size > 0) break;
    }
    for (const [name, { untilMs }] of own) {
      if (untilMs > nowMs && own.size <= this.#capacity - this.#size) return;
      this.#forget(organizationId, name);
    }
  }

  #forget(organizationId: string, name: string): void {
    const calls = this.#organizations.get(organizationId);
    if (calls?.delete(name) !== true) return;
    this.#size--;
    if (calls.size === 0) this.#organizations.delete(organizationId);
  }
}

/** A verifier, and whose it is: empty for the provider's. */
export interface Asker {
  readonly keyId: string;
  readonly organizationId: string;
}

interface Remembered {
  charge: Charge | Promise<Charge | undefined>;
  readonly untilMs: number;
}

function chargeOf({ decisionId, reservedUntilMs, binding, warnings, cost }: Decision): Charge {
  return { decisionId, reservedUntilMs, binding, warnings, cost };
}

// JSON keeps the parts apart: joined as they are, two calls could make one name. Hashed, no key lies about.
function nameOf(keyId: string, requestId: string, call: VerifyCall): string {
  const { presented, signed, resource, http, address, integration, account, needs, reserveTtlMs } = call;
  const asked = [presented, signed, resource, http?.method, http?.path, address, integration, account];
  return hash("sha256", JSON.stringify([keyId, requestId, ...asked, needs, reserveTtlMs]), "base64url");
}
