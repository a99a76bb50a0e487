import { type Caller, timely } from "./caller.ts";
import type { ServiceProcess } from "./service-process.ts";
import { until } from "./until.ts";

/**
 * `count` connections to each worker of a replica, by worker. Connections are dealt to whichever worker is free, so many
 * of them may come to one: here the others stand still, and what is answered is that worker's.
 */
export async function connectToWorkers(
  { listening }: ServiceProcess,
  connect: () => Caller,
  count: number,
): Promise<readonly (readonly Caller[])[]> {
  const byWorker: Caller[][] = [];
  for (const { pid } of listening) {
    const others = listening.filter((other) => other.pid !== pid).map((other) => other.pid);
    for (const other of others) process.kill(other, "SIGSTOP");
    const answered: Caller[] = [];
    // A worker that stands still is dealt one connection, and no other before it has taken that one.
    const calls = Array.from({ length: count + others.length }, async () => {
      const caller = connect();
      await caller.authz[0]!.verify({ key: "of nobody" }, timely);
      answered.push(caller);
    });
    const all = Promise.allSettled(calls);
    try {
      await until("a worker has answered", () => answered.length >= count);
    } finally {
      byWorker.push(answered.slice(0, count));
      for (const other of others) process.kill(other, "SIGCONT");
    }
    // Nothing of this is under way when the test counts its own calls.
    await all;
  }
  return byWorker;
}
