/** Hostile input is quoted back at most this long, so that an error is never larger than what a log line holds. */
const MAX_QUOTED_LENGTH = 80;

/** Text that is no scope, resource or list of them. `index` is its place in the list it came from. */
export class ScopeSyntaxError extends Error {
  override readonly name = "ScopeSyntaxError";
  /** The offending text, clipped; empty when the list as a whole is at fault. */
  readonly scope: string;
  readonly index: number | undefined;
  /** What is wrong, as the end of a sentence whose subject is the scope. */
  readonly reason: string;

  constructor(scope: string, reason: string, index?: number) {
    const clipped = scope.length > MAX_QUOTED_LENGTH ? `${scope.slice(0, MAX_QUOTED_LENGTH)}…` : scope;
    super(`scope ${JSON.stringify(clipped)}${index === undefined ? "" : ` at ${index}`} ${reason}`);
    this.scope = clipped;
    this.index = index;
    this.reason = reason;
  }
}
