/**
 * Does `work` for each item, at most `bound` at once, begun in their order. The next item is asked for when there
 * is room for it, so a stream of any length takes no more memory than `bound` items. After the first failure none
 * is begun; it is thrown when those that run have ended.
 */
export async function eachOf<T>(
  items: Iterable<T> | AsyncIterable<T>,
  bound: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let isOver = false;

  async function lane(): Promise<void> {
    while (!isOver) {
      const next = await iterator.next();
      if (next.done) break;
      await work(next.value);
    }
    isOver = true;
  }

  const failures: unknown[] = [];
  const lanes = Array.from({ length: bound }, () =>
    lane().catch((error) => {
      isOver = true;
      failures.push(error);
    }),
  );
  await Promise.all(lanes);
  await iterator.return?.();
  if (failures.length > 0) throw failures[0];
}
