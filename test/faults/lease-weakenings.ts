import { once } from "node:events";
import type { AcquireReply, GrantedLease } from "../../services/authz/src/domain/lease-source.ts";
import type { Parts } from "../../services/authz/src/parts.ts";
import { GrpcMeteringSource } from "../../services/authz/src/upstream/metering-source.ts";

type MakeSource = Parts["meteringSource"];
type Acquire = Parameters<GrpcMeteringSource["acquire"]>;

/** Longer than any lease lives that metering lends. */
const LONG_MS = 120_000;

/** What a holder of leases does with one rule off. "loses half of all recalls" is none: all must hold with it. */
export const leaseWeakenings = {
  "hears no recall": (...of) => new Deaf(...of),
  "spends past the end of a window": (...of) =>
    new Relending(
      ({ windowEndMs, ...lease }) =>
        windowEndMs === undefined
          ? { ...lease, windowEndMs }
          : { ...lease, ttlMs: LONG_MS, windowEndMs: undefined },
      ...of,
    ),
  "spends past a lease's deadline": (...of) =>
    new Relending((lease) => ({ ...lease, ttlMs: LONG_MS }), ...of),
  "forgets what a lost answer lent": (...of) => new Forgetful(...of),
  "loses half of all recalls": (...of) => new HardOfHearing(...of),
} satisfies Record<string, MakeSource>;

export type LeaseWeakening = keyof typeof leaseWeakenings;

class Deaf extends GrpcMeteringSource {
  // biome-ignore lint/correctness/useYield: it hears nothing, until it is stopped
  override async *recalls(signal: AbortSignal): AsyncIterable<readonly string[]> {
    if (!signal.aborted) await once(signal, "abort");
  }
}

class HardOfHearing extends GrpcMeteringSource {
  override async *recalls(signal: AbortSignal): AsyncIterable<readonly string[]> {
    for await (const limitIds of super.recalls(signal)) if (Math.random() < 0.5) yield limitIds;
  }
}

class Forgetful extends GrpcMeteringSource {
  override acquire(request: Acquire[0], trace?: Acquire[1], onLate?: Acquire[2]): Promise<AcquireReply> {
    return super.acquire(request, trace, onLate);
  }
}

/** Takes what it is lent for something else. */
class Relending extends GrpcMeteringSource {
  readonly #taken: (lease: GrantedLease) => GrantedLease;

  constructor(taken: (lease: GrantedLease) => GrantedLease, ...of: Parameters<MakeSource>) {
    super(...of);
    this.#taken = taken;
  }

  override async acquire(
    request: Acquire[0],
    trace?: Acquire[1],
    onLate?: Acquire[2],
    onLost?: Acquire[3],
  ): Promise<AcquireReply> {
    const late = onLate && ((reply: AcquireReply) => onLate(this.#taking(reply)));
    return this.#taking(await super.acquire(request, trace, late, onLost));
  }

  #taking(reply: AcquireReply): AcquireReply {
    return { ...reply, leases: reply.leases.map(this.#taken) };
  }
}
