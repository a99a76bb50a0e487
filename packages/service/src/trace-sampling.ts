import { type SpanContext, TraceFlags } from "@opentelemetry/api";
import { parseTraceParent } from "@opentelemetry/core";
import { Allowance } from "./allowance.ts";

/**
 * Calls in a second, on average and at once, that are traced because their caller says so. A caller can thus have its
 * own calls traced, and not everybody's pushed out; those of our own services are well below it.
 */
const CONTINUED = { perSecond: 100, burst: 100 };

/** A call that begins a trace, or the context of the trace that it continues. */
export type Sampled = "root" | SpanContext;

/**
 * Decides which calls are traced, before anything is made for one: the SDK's samplers want a trace id first. A caller
 * that says so has its trace continued, within a bound; one that says that its trace is not sampled is believed; of
 * the others a share begins a trace.
 */
export class TraceSampling {
  readonly #ratio: number;
  readonly #continued: Allowance;
  readonly #random: () => number;

  constructor(ratio: number, nowMs: () => number = () => performance.now(), random = Math.random) {
    this.#ratio = ratio;
    this.#continued = new Allowance(CONTINUED, nowMs);
    this.#random = random;
  }

  /** Undefined: not sampled. */
  sample(traceparent: string | undefined): Sampled | undefined {
    if (traceparent === undefined) return this.#random() < this.#ratio ? "root" : undefined;
    const context = parseTraceParent(traceparent);
    if (context === null) return this.sample(undefined);
    if ((context.traceFlags & TraceFlags.SAMPLED) === 0 || !this.#continued.take()) return undefined;
    return { ...context, isRemote: true };
  }
}
