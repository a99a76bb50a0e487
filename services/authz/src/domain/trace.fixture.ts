import type { Trace } from "./trace.ts";

/** A trace that writes down what happens to it. */
export class NotedTrace implements Trace {
  readonly name: string;
  readonly parts: NotedTrace[] = [];
  readonly links: string[] = [];
  readonly attributes: Record<string, string | number | boolean> = {};
  /** Undefined until it has ended; then how. */
  ended: string | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get traceparent(): string {
    return `of ${this.name}`;
  }

  begin(name: string): NotedTrace {
    const part = new NotedTrace(`${this.name}/${name}`);
    this.parts.push(part);
    return part;
  }

  link(other: Trace): void {
    this.links.push(other.traceparent);
  }

  set(name: string, value: string | number | boolean): void {
    this.attributes[name] = value;
  }

  end(failure = "well"): void {
    if (this.ended !== undefined) throw new Error(`${this.name} ended twice`);
    this.ended = failure;
  }
}
