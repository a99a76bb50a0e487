/**
 * What one answer holds at most. gRPC clients refuse messages above 4 MiB unless told otherwise, and 500 keys
 * with every scope that they may have are six times that.
 */
export const MAX_ANSWER_BYTES = 2 * 1024 * 1024;

/** As many of the items, in order, as fit one answer; at least one. */
export function withinBytes<T>(items: readonly T[], maxBytes: number = MAX_ANSWER_BYTES): T[] {
  let bytes = 0;
  const fitting: T[] = [];
  for (const item of items) {
    // JSON is never shorter than the protobuf of the same fields, so this errs on the safe side.
    bytes += Buffer.byteLength(JSON.stringify(item));
    if (bytes > maxBytes && fitting.length > 0) break;
    fitting.push(item);
  }
  return fitting;
}
