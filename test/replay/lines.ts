import { createReadStream } from "node:fs";

/** A line of a file, without its line end. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** Undefined where the line is longer than may be. */
  readonly text: string | undefined;
}

/** Longer than any request line that a web server takes; what is longer is damage, and would fill the memory. */
export const LINE_BYTES_MAX = 64 * 1024;

const LINE_FEED = 0x0a;
const BYTE_ORDER_MARK = "\ufeff";

/** The lines of a file of any size, ended by LF or CRLF, the last one by nothing perhaps. */
export function readLines(path: string): AsyncGenerator<Line> {
  return splitLines(createReadStream(path));
}

/** The lines in chunks of bytes; at most one line is held. */
export async function* splitLines(
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  maxBytes = LINE_BYTES_MAX,
): AsyncGenerator<Line> {
  let number = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;

  function hold(part: Buffer): void {
    heldBytes += part.length;
    if (heldBytes > maxBytes) held = [];
    else held.push(part);
  }

  function finish(): Line {
    number++;
    const text = heldBytes > maxBytes ? undefined : textOf(held, number);
    held = [];
    heldBytes = 0;
    return { number, text };
  }

  for await (const chunk of chunks) {
    let from = 0;
    for (let to = chunk.indexOf(LINE_FEED); to !== -1; to = chunk.indexOf(LINE_FEED, from)) {
      hold(chunk.subarray(from, to));
      yield finish();
      from = to + 1;
    }
    if (from < chunk.length) hold(chunk.subarray(from));
  }
  if (heldBytes > 0) yield finish();
}

function textOf(parts: readonly Buffer[], number: number): string {
  const text = (parts.length === 1 ? parts[0]! : Buffer.concat(parts)).toString();
  const start = number === 1 && text.startsWith(BYTE_ORDER_MARK) ? 1 : 0;
  return text.slice(start, text.endsWith("\r") ? -1 : undefined);
}
