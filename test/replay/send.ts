import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Gatehouse } from "@gatehouse/client";
import { DecisionCode, type VerifyResponse } from "@gatehouse/proto/authz";
import { eachOf } from "./each-of.ts";
import { paced } from "./pace.ts";
import { persistently, waitBefore } from "./persist.ts";
import type { RefusedBy, TalliedCall, Tally } from "./tally.ts";

/** A call of the trace, ready to be sent. */
export interface SentCall extends TalliedCall {
  /** Its line in the file. */
  readonly line: number;
  readonly timeMs: number;
}

export interface SendOptions {
  readonly authz: Gatehouse["authz"];
  /** The key that is presented; the account is its target. */
  readonly masterKey: string;
  /** `requests` first, as the units of a call. */
  readonly meters: readonly string[];
  readonly resource: string;
  /** What the answers must know of: the accounts and limits just made. */
  readonly freshness: readonly string[];
  readonly batch: number;
  readonly inFlight: number;
  readonly speed: number | undefined;
  readonly tally: Tally;
  /** Told after each batch how many calls were answered since the last time. */
  readonly onAnswered: (calls: number) => void;
}

/** With the waits that are asked for, some 20 s: leases of a holder that vanished have run out by then. */
const ASKED_MAX = 30;

const clock = { nowMs: () => performance.now(), sleep };

/** Sends every call and counts what became of it. Throws where a service fails for good. */
export async function send(calls: AsyncIterable<SentCall>, options: SendOptions): Promise<void> {
  const { batch: size, speed, inFlight, tally, onAnswered } = options;
  const run = randomBytes(8).toString("hex");
  await eachOf(paced(calls, { size, speed, clock }), inFlight, async (batch) => {
    for (const call of batch) tally.sent(call);
    await decide(batch, run, options);
    onAnswered(batch.length);
  });
}

/**
 * Asks until every call is decided. INDETERMINATE is no decision and charged nothing: the call is asked again
 * under another request id. A batch whose answer was lost may have been charged: it is asked again under the same
 * ones, and its charges are not made twice.
 */
async function decide(batch: readonly SentCall[], run: string, options: SendOptions): Promise<void> {
  const { authz, tally } = options;
  let open = batch;
  for (let attempt = 1; open.length > 0; attempt++) {
    const requests = open.map((call) => requestOf(call, `${run}-${call.line}-${attempt}`, options));
    const ask = () => authz.batchVerify({ requests });
    const { responses } = await persistently(ask, () => tally.resent++);
    const again: SentCall[] = [];
    let retryAfterMs: number | undefined;
    for (const [index, call] of open.entries()) {
      const response = responses[index]!;
      if (response.code === DecisionCode.INDETERMINATE) {
        again.push(call);
        const { seconds, nanos } = response.retryAfter ?? { seconds: 0n, nanos: 0 };
        retryAfterMs = Math.max(retryAfterMs ?? 0, Number(seconds) * 1000 + nanos / 1e6);
      } else if (response.code === DecisionCode.VALID) {
        tally.admitted(call);
        if (response.warnings.length > 0) tally.warned++;
      } else {
        tally.refused(call, refusedBy(response));
      }
    }
    tally.indeterminate += again.length;
    if (attempt === ASKED_MAX) {
      tally.undecided += again.length;
      return;
    }
    if (again.length > 0) await sleep(waitBefore(attempt, retryAfterMs || undefined));
    open = again;
  }
}

function requestOf(call: SentCall, requestId: string, options: SendOptions) {
  const { masterKey: key, meters, resource, freshness: atLeastAsFresh } = options;
  const charges = meters.map((meter, index) => ({ meter, units: call.units[index]! }));
  return { key, account: call.accountId, resource, charges, requestId, atLeastAsFresh: [...atLeastAsFresh] };
}

function refusedBy({ code, bindingLimit }: VerifyResponse): RefusedBy {
  const { limitId = "", nodeId = "", meter = "" } = bindingLimit ?? {};
  return { code: DecisionCode[code], limitId, nodeId, meter };
}
