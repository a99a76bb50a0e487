import { type SpanContext, TraceFlags } from "@opentelemetry/api";
import { parseTraceParent } from "@opentelemetry/core";

/**
 * Calls in a second, on average and at once, that are traced because their caller says so. A caller can thus have its
 * own calls traced, and not everybody's pushed out; those of our own services are well below it.
 */
const CONTINUED_PER_SECOND = 100;

/** A call that begins a trace, or the context of the trace that it continues. */
export type Sampled = "root" | SpanContext;

/**
 * Decides which calls are traced, before anything is made for one: the SDK's samplers want a trace id first. A caller
 * that says so has its trace continued, within a bound; one that says that its trace is not sampled is believed; of
 * the others a share begins a trace.
 */
export class TraceSampling {
  readonly #ratio: number;
  readonly #nowMs: () => number;
  readonly #random: () => number;
  #allowance = CONTINUED_PER_SECOND;
  #allowedAtMs: number;

  constructor(ratio: number, nowMs: () => number = () => performance.now(), random = Math.random) {
    this.#ratio = ratio;
    this.#nowMs = nowMs;
    this.#random = random;
    this.#allowedAtMs = nowMs();
  }

  /** Undefined: not sampled. */
  sample(traceparent: string | undefined): Sampled | undefined {
    if (traceparent === undefined) return this.#random() < this.#ratio ? "root" : undefined;
    const context = parseTraceParent(traceparent);
    if (context === null) return this.sample(undefined);
    if ((context.traceFlags & TraceFlags.SAMPLED) === 0 || !this.#allow()) return undefined;
    return { ...context, isRemote: true };
  }

  #allow(): boolean {
    const nowMs = this.#nowMs();
    const regained = ((nowMs - this.#allowedAtMs) / 1000) * CONTINUED_PER_SECOND;
    this.#allowance = Math.min(CONTINUED_PER_SECOND, this.#allowance + regained);
    this.#allowedAtMs = nowMs;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }
}
