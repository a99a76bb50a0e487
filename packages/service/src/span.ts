/** What a span may say of itself. Never a key, its id, a secret or an address. */
export type AttributeValue = string | number | boolean;

/**
 * A part of a trace that is being recorded. What is not sampled has none: it is `undefined` all the way down, and
 * costs a comparison. A span is handed on by whoever calls to whom is called; nothing looks for it in the air.
 */
export interface Span {
  /** The header that makes another service's spans join: W3C Trace Context. */
  readonly traceparent: string;
  /** Begins a span below this one: of something that happens here, or of a call to another service. */
  begin(name: string, kind?: "internal" | "client"): Span;
  /** This one rests on work that is part of another. */
  link(other: { readonly traceparent: string }): void;
  set(name: string, value: AttributeValue): void;
  /** To be called once. `failure` says in a word why it failed, where it did. */
  end(failure?: string): void;
}

/** What a log line about a traced call says of its trace, by the names that log stores look for. */
export function traceOf(span: Span | undefined): { readonly trace_id?: string; readonly span_id?: string } {
  if (span === undefined) return {};
  const [, traceId, spanId] = span.traceparent.split("-");
  return { trace_id: traceId!, span_id: spanId! };
}
