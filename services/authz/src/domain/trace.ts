import type { Decision } from "./decision.ts";

/**
 * The record of one call that is followed closely. Most are not and have none: then nothing is made, and asking
 * costs one comparison. The domain says what a call waited for; what becomes of that is not its business.
 */
export interface Trace {
  /** What requests to other services carry, so that their part joins. */
  readonly traceparent: string;
  /** Begins a part of it. */
  begin(name: string): Trace;
  /** This part rests on work that is part of another call. */
  link(other: Trace): void;
  set(name: string, value: string | number | boolean): void;
  /** `failure` says in a word why it failed, where it did. Nothing of what was asked or answered belongs in it. */
  end(failure?: string): void;
}

/** Runs what a call waits for, as a part of its trace where it has one. */
export function during<T>(
  trace: Trace | undefined,
  name: string,
  work: (part: Trace | undefined) => Promise<T>,
): Promise<T> {
  return trace === undefined ? work(undefined) : recorded(trace.begin(name), work);
}

/**
 * What several calls ask for in one request is a part of the first one's trace; the others' say so. Answers whose it is,
 * once `next` has come along.
 */
export function carrierOf(first: Trace | undefined, next: Trace | undefined): Trace | undefined {
  if (first === undefined || next === undefined) return first ?? next;
  next.link(first);
  return first;
}

async function recorded<T>(part: Trace, work: (part: Trace) => Promise<T>): Promise<T> {
  try {
    const result = await work(part);
    part.end();
    return result;
  } catch (error) {
    part.end("unavailable");
    throw error;
  }
}

/** Says what was decided. Where it could not be written down, the answer says INDETERMINATE all the same. */
export function noteDecision(trace: Trace, decision: Decision | Promise<Decision>): void {
  if (decision instanceof Promise) decision.then((made) => noteDecision(trace, made)).catch(() => {});
  else trace.set("gatehouse.decision_code", decision.code);
}
