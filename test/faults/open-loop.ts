import { DecisionCode } from "@gatehouse/proto/authz";
import type { Failure } from "@gatehouse/service";
import type { System } from "../system/system.ts";
import { until } from "../system/until.ts";
import { ask } from "../system/verifying.ts";
import type { Revocation } from "./revocations.ts";

/** One answer of the load; times on this process's monotonic clock. */
export interface Seen {
  readonly replica: number;
  readonly way: Revocation;
  readonly by: "gRPC" | "JSON" | "batch";
  readonly sentMs: number;
  readonly code: string;
}

/** Calls to each replica begin this far apart, whether earlier ones were answered or not. */
const EVERY_MS = 8;
/** One in so many goes by JSON over HTTP, and one in a BatchVerify with others. */
const OF_EACH_TRANSPORT = 8;
const BATCH = 4;

/** An open-loop load on replicas, all by default, which asks for each revocation's key in turn until it is stopped. */
export class OpenLoop {
  readonly seen: Seen[] = [];
  readonly #system: System;
  readonly #ways: readonly Revocation[];
  readonly #replicas: readonly number[];
  readonly #timer: NodeJS.Timeout;
  readonly #running = new Set<Promise<void>>();
  #tick = 0;

  constructor(system: System, ways: readonly Revocation[], replicas = [...system.replicas.keys()]) {
    this.#system = system;
    this.#ways = ways;
    this.#replicas = replicas;
    this.#timer = setInterval(() => this.#next(), EVERY_MS);
  }

  /** Has every replica answered VALID for every key? */
  get isWarm(): boolean {
    const valid = new Set(
      this.seen.filter(({ code }) => code === "VALID").map(({ replica, way }) => `${replica} ${way.name}`),
    );
    return valid.size === this.#ways.length * this.#replicas.length;
  }

  /** Waits until so many rounds of calls more have been sent. */
  async send(rounds: number): Promise<void> {
    const tick = this.#tick + rounds;
    await until(`${rounds} rounds of calls are sent`, () => this.#tick >= tick);
  }

  /** No new calls; waits for those under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  #next(): void {
    const tick = this.#tick++;
    const way = this.#ways[tick % this.#ways.length]!;
    // By rounds of all the ways, so that each way is asked for by each transport.
    const turn = Math.floor(tick / this.#ways.length) % OF_EACH_TRANSPORT;
    for (const replica of this.#replicas) {
      const call =
        turn === 0
          ? this.#json(replica, way)
          : turn === 1
            ? this.#batch(replica, tick)
            : this.#grpc(replica, way);
      const running = call.finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  async #grpc(replica: number, way: Revocation): Promise<void> {
    const { sentMs, code, error } = await ask(way.verifier, replica, way.request);
    this.seen.push({ replica, way, by: "gRPC", sentMs, code: error?.code ?? code });
  }

  async #json(replica: number, way: Revocation): Promise<void> {
    const sentMs = performance.now();
    const { verifier, request } = way;
    const method = "authz.v1.AuthzService/Verify";
    const answer = await this.#system
      .json(verifier.secret, method, request, replica)
      .catch(() => ({ status: 0, body: { code: "LOST" } }));
    const code = String(answer.body.code).replace("DECISION_CODE_", "");
    this.seen.push({ replica, way, by: "JSON", sentMs, code });
  }

  // Together go those that one verifier asks for.
  async #batch(replica: number, tick: number): Promise<void> {
    const first = this.#ways[tick % this.#ways.length]!;
    const ways = [first, ...this.#ways.filter((way) => way !== first && way.verifier === first.verifier)];
    const some = [first, ...ways.slice(1).filter((_, i) => (i + tick) % BATCH === 0)];
    const sentMs = performance.now();
    const codes = await first.verifier.authz[replica]!.batchVerify(
      { requests: some.map(({ request }) => request) },
      { timeoutMs: 10_000 },
    )
      .then(({ responses }) => responses.map(({ code }) => DecisionCode[code] ?? ""))
      .catch(({ code }: Failure) => some.map(() => code));
    for (const [i, way] of some.entries())
      this.seen.push({ replica, way, by: "batch", sentMs, code: codes[i]! });
  }
}

/** When a replica could not reach identity. */
export interface Outage {
  readonly replica: number;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Bounds {
  readonly boundMs: number;
  readonly stalenessMaxMs: number;
}

/**
 * P1: VALID answers to calls that were sent more than the bound after the commit, by a replica that could reach
 * identity all that time; or more than `stalenessMaxMs` after it, by any.
 */
export function staleAnswers(
  seen: readonly Seen[],
  committedMs: ReadonlyMap<Revocation, number>,
  outages: readonly Outage[],
  { boundMs, stalenessMaxMs }: Bounds,
): readonly Seen[] {
  return seen.filter(({ replica, way, sentMs, code }) => {
    const committed = committedMs.get(way);
    if (code !== "VALID" || committed === undefined || sentMs <= committed + boundMs) return false;
    const wasAway = outages.some(
      (outage) => outage.replica === replica && outage.fromMs <= sentMs && sentMs <= outage.toMs + boundMs,
    );
    return !wasAway || sentMs > committed + stalenessMaxMs;
  });
}

/** When the last call that any replica answered VALID was sent, after its commit. */
export function lastValidAfterMs(
  seen: readonly Seen[],
  committedMs: ReadonlyMap<Revocation, number>,
  replica: number,
): number {
  const after = seen
    .filter((each) => each.replica === replica && each.code === "VALID")
    .map(({ way, sentMs }) => sentMs - (committedMs.get(way) ?? Number.POSITIVE_INFINITY));
  return Math.max(...after);
}
