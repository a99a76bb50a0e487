import { hash } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { encodeFreshness, type Position } from "@gatehouse/changefeed";
import {
  type AcquireResponse,
  type MinuteUsageSchema,
  AskResult_Outcome as Outcome,
  UsageBatchSchema,
} from "@gatehouse/proto/metering";
import type { TestMetering } from "./fixture.ts";

interface HeldLease {
  readonly limitId: string;
  left: number;
  spentUnsent: number;
}

export interface AcquireOptions {
  readonly want?: number;
  readonly resource?: string;
  readonly position?: Position;
  /** Micros by wallet. */
  readonly costs?: Record<string, number>;
}

/** A replica of authz in a few lines: asks, spends quota leases, ships batches, answers recalls. */
export class Holder {
  readonly producer: string;
  readonly epoch: bigint;
  readonly leases = new Map<string, HeldLease>();
  readonly recalled: string[] = [];
  sequence = 0n;
  #metering: TestMetering;
  #stopping = new AbortController();
  #shipping: Promise<unknown> = Promise.resolve();

  constructor(metering: TestMetering, producer: string, epoch = 1n) {
    this.#metering = metering;
    this.producer = producer;
    this.epoch = epoch;
  }

  get name(): string {
    return `${this.producer}/${this.epoch}`;
  }

  async acquire(
    nodeIds: readonly string[],
    needs: Record<string, number>,
    { want, resource = "", position, costs = {} }: AcquireOptions = {},
  ): Promise<AcquireResponse> {
    const known = want === undefined ? [] : await this.#limitIds(nodeIds);
    const answer = await this.#metering.leases.acquire(
      {
        holder: this.name,
        identityFreshness: position === undefined ? "" : encodeFreshness("identity", position),
        asks: [
          {
            nodeIds: [...nodeIds],
            resource,
            needs: Object.entries(needs).map(([meter, units]) => ({ meter, units: BigInt(units) })),
            wants: known.map((limitId) => ({ limitId, units: BigInt(want!) })),
            walletNeeds: Object.entries(costs).map(([walletId, micros]) => ({
              walletId,
              micros: BigInt(micros),
            })),
          },
        ],
      },
      { timeoutMs: 5000 },
    );
    for (const { id, limitId, units } of answer.leases) {
      this.leases.set(id, { limitId, left: Number(units), spentUnsent: 0 });
    }
    return answer;
  }

  /** Spends micros of what it holds of a wallet, from one lease. */
  pay(walletId: string, micros: number): void {
    const lease = [...this.leases.values()].find((l) => l.limitId === walletId && l.left >= micros);
    if (lease === undefined) throw new Error(`${micros} micros are not in one lease`);
    lease.left -= micros;
    lease.spentUnsent += micros;
  }

  /** Spends one unit from each limit, or nothing. */
  spend(limitIds: readonly string[]): boolean {
    const leases = limitIds.map((id) =>
      [...this.leases.values()].find((l) => l.limitId === id && l.left > 0),
    );
    if (leases.some((lease) => lease === undefined)) return false;
    for (const lease of leases) {
      lease!.left--;
      lease!.spentUnsent++;
    }
    return true;
  }

  /** Spends one unit or acquires until it can; EXHAUSTED ends it. Retries "not now", as callers do. */
  async use(nodeIds: readonly string[], limitIds: readonly string[], want = 1): Promise<boolean> {
    const untilMs = performance.now() + 20_000;
    while (performance.now() < untilMs) {
      if (this.spend(limitIds)) return true;
      const { results } = await this.acquire(nodeIds, { requests: 1 }, { want });
      if (results[0]!.outcome === Outcome.EXHAUSTED) return false;
    }
    throw new Error("neither admitted nor exhausted");
  }

  /** Ships what was spent; closes the leases of these limits, or none. */
  ship(
    closing: (limitId: string) => boolean = () => false,
    usage: MessageInitShape<typeof MinuteUsageSchema>[] = [],
  ): Promise<unknown> {
    const leases = [...this.leases].flatMap(([leaseId, lease]) => {
      const closed = closing(lease.limitId);
      const spent = BigInt(lease.spentUnsent);
      lease.spentUnsent = 0;
      if (closed) this.leases.delete(leaseId);
      return closed || spent > 0n ? [{ leaseId, spent, closed }] : [];
    });
    const request = this.batch({ leases, usage });
    this.#shipping = this.#shipping.then(() =>
      this.#metering.ingest.ingestBatch(request, { timeoutMs: 5000 }),
    );
    return this.#shipping;
  }

  batch(content: MessageInitShape<typeof UsageBatchSchema>, sequence = ++this.sequence) {
    const payload = toBinary(UsageBatchSchema, create(UsageBatchSchema, content));
    const digest = hash("sha256", payload, "buffer");
    return { producer: this.producer, epoch: this.epoch, sequence, digest, payload };
  }

  /** Answers recalls until stopped. Resolves once the stream is open. */
  async answerRecalls(): Promise<void> {
    const { signal } = this.#stopping;
    const stream = this.#metering.leases.watchRecalls({ holder: this.name }, { signal });
    const messages = stream[Symbol.asyncIterator]();
    await messages.next();
    void (async () => {
      for (let next = await messages.next(); !next.done; next = await messages.next()) {
        const { limitIds } = next.value;
        this.recalled.push(...limitIds);
        await this.ship((limitId) => limitIds.includes(limitId));
      }
    })().catch(() => {});
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #limitIds(nodeIds: readonly string[]): Promise<string[]> {
    const { limits } = await this.acquire(nodeIds, {});
    return limits.flatMap((node) => node.limits.map(({ id }) => id));
  }
}
