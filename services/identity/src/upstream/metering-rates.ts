import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ChargeCall } from "@gatehouse/access/charging-guard";
import { ControlService } from "@gatehouse/proto/metering";
import { type GrpcClient, grpcClient } from "@gatehouse/service";

/** Every call of the control plane may wait for it. */
const TIMEOUT_MS = 300;
/** A metering that did not answer is left alone for this long: its silence must not cost each call its timeout. */
const SILENT_MS = 1000;
/** Paths without rates that are remembered; past this many it starts over, which costs each a question. */
const MAX_FREE = 10_000;

/**
 * Rates on calls of the control plane, which metering keeps. identity works without it: where it does not answer, calls
 * pass uncharged, because a rate is there against too much, and what cannot be counted for a moment is not.
 */
export class MeteringRates {
  readonly #addressOf: () => string | undefined;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #nowMs: () => number;
  #client: GrpcClient<typeof ControlService> | undefined;
  /** By path: until when there is no rate on it. */
  readonly #free = new Map<string, number>();
  #silentUntilMs = 0;
  /** Calls that passed because metering was silent, since the start. */
  unchargedCalls = 0;

  constructor(
    addressOf: () => string | undefined,
    serviceSecret: string,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#addressOf = addressOf;
    this.#headers = { authorization: `Bearer ${serviceSecret}` };
    this.#nowMs = nowMs;
  }

  readonly charge: ChargeCall = async (nodeIds, scope) => {
    const address = this.#addressOf();
    if (address === undefined) return undefined;
    const path = nodeIds.join(" ");
    const sentMs = this.#nowMs();
    if (sentMs < (this.#free.get(path) ?? 0)) return undefined;
    if (sentMs < this.#silentUntilMs) return this.#pass();
    this.#client ??= grpcClient(ControlService, address, { headers: this.#headers });
    try {
      const request = { nodeIds: [...nodeIds], scope };
      const answer = await this.#client.chargeCall(request, { timeoutMs: TIMEOUT_MS });
      if (answer.freeFor !== undefined) this.#remember(path, sentMs + durationMs(answer.freeFor));
      if (answer.limitId === "") return undefined;
      const { limitId, nodeId, retryAfter } = answer;
      return { limitId, nodeId, retryAfterMs: retryAfter && durationMs(retryAfter) };
    } catch {
      this.#silentUntilMs = this.#nowMs() + SILENT_MS;
      return this.#pass();
    }
  };

  close(): void {
    this.#client?.close();
  }

  #pass(): undefined {
    this.unchargedCalls++;
  }

  #remember(path: string, untilMs: number): void {
    if (this.#free.size >= MAX_FREE) this.#free.clear();
    this.#free.set(path, untilMs);
  }
}
