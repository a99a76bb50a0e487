import type { ChildProcess } from "node:child_process";

/**
 * node:cluster deals a connection to a worker, and lets go of it when the worker says that it has it. Of one that dies
 * before it said so, the primary keeps the connection open for ever: who dialled waits for an answer that nobody is
 * there to give. So what was dealt and not taken is closed when the worker ends, and its client dials again.
 *
 * How cluster tells its workers is nowhere promised. Where it tells them otherwise, this closes nothing, and a test fails.
 */
export function closeUndelivered(worker: ChildProcess): void {
  const dealt = new Map<number, Connection>();
  const send = worker.send.bind(worker) as (...what: unknown[]) => boolean;
  worker.send = (...what: unknown[]) => {
    const [message, connection] = what as [ClusterMessage | undefined, Connection | undefined];
    if (message?.act === "newconn" && connection !== undefined) dealt.set(message.seq!, connection);
    return send(...what);
  };
  worker.on("internalMessage", ({ ack }: ClusterMessage) => {
    if (ack !== undefined) dealt.delete(ack);
  });
  worker.once("exit", () => {
    for (const connection of dealt.values()) connection.close();
    dealt.clear();
  });
}

interface ClusterMessage {
  readonly act?: string;
  readonly seq?: number;
  /** The `seq` of what is answered. */
  readonly ack?: number;
}

/** A handle below net.Socket. */
interface Connection {
  close(): void;
}
