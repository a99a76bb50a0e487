import type { Reply } from "@gatehouse/service";

type Settled<T> = (error: unknown, value?: T) => void;

/** Calls back with what becomes of a reply: at once where it is there. An error is anything but undefined and null. */
export function whenSettled<T extends object>(reply: Reply<T>, callback: Settled<T>): void {
  if (reply instanceof Promise) reply.then((value) => callback(undefined, value), callback);
  else if ("whenReady" in reply) reply.whenReady(callback);
  else callback(undefined, reply);
}

export function settled<T extends object>(reply: Reply<T>): Promise<T> {
  return new Promise((resolve, reject) =>
    whenSettled(reply, (error, value) => {
      if (error !== undefined && error !== null) reject(error);
      else resolve(value!);
    }),
  );
}

/** Many replies as one, in their order: no promise for each. */
export function allSettled<T extends object>(replies: readonly Reply<T>[]): Promise<T[]> {
  return new Promise((resolve, reject) => {
    const values = new Array<T>(replies.length);
    let missing = replies.length;
    replies.forEach((reply, i) => {
      whenSettled(reply, (error, value) => {
        if (error !== undefined && error !== null) return reject(error);
        values[i] = value!;
        if (--missing === 0) resolve(values);
      });
    });
  });
}
