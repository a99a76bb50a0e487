import type { Moment } from "@gatehouse/changefeed";
import type { ReservedDecisionIds } from "@gatehouse/keys";
import type { ChargePath } from "./charge-path.ts";
import type { KeyEntry } from "./entry.ts";
import type { Journal } from "./journal.ts";
import type { Charged } from "./lease-pool.ts";
import type { VerifyCall } from "./verify-call.ts";

/** What a decision holds for a while: its charges are an estimate. */
export interface Reserved {
  readonly decisionId: string;
  readonly expiresAtMs: number;
}

/**
 * Holds estimates. One is charged as any call is; beyond that the journal gets a record of it, under the decision's id,
 * by which metering can book or give back the difference in the very buckets that were drawn on.
 *
 * What was spent of rates is left out: those refill with time, and get nothing back.
 */
export class Reservations {
  readonly #ids: ReservedDecisionIds;
  readonly #journal: Journal;

  constructor(ids: ReservedDecisionIds, journal: Journal) {
    this.#ids = ids;
    this.#journal = journal;
  }

  /** Call it where the decision's charges are recorded, before its records end. */
  hold(
    { needs }: VerifyCall,
    ttlMs: number,
    verifierKeyId: string,
    now: Moment,
    entry: KeyEntry,
    path: ChargePath,
    { spends, payments = [] }: Pick<Extract<Charged, { kind: "charged" }>, "spends" | "payments">,
  ): Reserved {
    const expiresAtMs = Math.floor(now.wallMs) + ttlMs;
    const decisionId = this.#ids.mint(verifierKeyId, expiresAtMs);
    this.#journal.reserve({
      decisionId,
      keyId: entry.key.id,
      parentKeyId: entry.parent?.id ?? "",
      accountId: path.target[0]!.id,
      resource: path.resource,
      minute: Math.floor(now.wallMs / 60_000),
      expiresAtMs,
      charges: needs,
      costs: payments.map(({ need, price, micros }) => ({ meter: needs[need]!.meter, price, micros })),
      draws: spends.flatMap(({ lease, units }) =>
        lease.ref === undefined ? [] : [{ lease: lease.ref, units }],
      ),
    });
    return { decisionId, expiresAtMs };
  }
}
