import cluster from "node:cluster";
import { once } from "node:events";
import type { Registry } from "prom-client";
import type { Log } from "./log.ts";
import { type Loop, runLoop } from "./loop.ts";
import { untilSignal } from "./shutdown.ts";
import { closeUndelivered } from "./undelivered-connections.ts";
import { gatherBetweenWorkers, gatherFromAll } from "./worker-metrics.ts";

/**
 * One service on every core: a primary process that owns the ports, and workers, each a whole service. Connections are
 * dealt to the workers in turn (node:cluster), and a connection stays with its worker.
 *
 * The primary does nothing but fork, start again what dies or stands still, pass on when it is time to end, and carry
 * metrics. It holds no connection that a worker has taken and no state, so that no call can bring it down. If it dies all
 * the same, its workers finish what they have and end: nobody else would start them again.
 */

/** What {@link inWorkers} takes. */
export interface WorkersOptions {
  /** With 1 there is no primary: the process does the work itself. */
  readonly count: number;
  readonly log: Log;
  /** How long workers may take to end, in milliseconds; then they are killed. Default 30 000. */
  readonly stopMs?: number | undefined;
  /** How often workers are asked whether they are alive, in milliseconds; default 5000. */
  readonly pingMs?: number | undefined;
}

/** What the work knows of the worker that does it. */
export interface Worker {
  /** From 1 to `count`; a worker that is started again has the number of the one that died. */
  readonly number: number;
  readonly count: number;
  /** Says on every line which worker it is, where there are several. */
  readonly log: Log;
  /** Resolves when it is time to end, with why: a signal, or what became of the primary. */
  untilStopped(): Promise<string>;
  /** The text of `/metrics` over all workers; undefined where there is one. */
  readonly gatherMetrics?: ((own: Registry) => () => Promise<string>) | undefined;
}

/** After a worker died, the next is started this much later, twice as much each time that it does not live. */
const RESTART = { minMs: 100, maxMs: 10_000 };
/** A worker that lived this long was all right: its death says nothing about the next one's chances. */
const SETTLED_MS = 10_000;
const STOP_MS = 30_000;
const PING_MS = 5000;
/**
 * A worker that answers none of so many in a row, a minute at least, is killed: probes from outside mostly reach the
 * others. Counted, and not timed: a machine that was suspended has missed one.
 */
const UNANSWERED_MAX = 12;
const STOP = "stop";
const PING = "ping";
const NUMBER = "--worker=";

/**
 * Does the work in this process, or in `count` processes that run this program; those end when their work does, and the
 * primary when they have. The program must come here in every one of them, with nothing opened before.
 */
export async function inWorkers(
  options: WorkersOptions,
  work: (worker: Worker) => Promise<void>,
): Promise<void> {
  const { count, log } = options;
  if (cluster.isWorker) {
    const untilStopped = stopOfWorker();
    const number = Number(process.argv.findLast((each) => each.startsWith(NUMBER))?.slice(NUMBER.length));
    await work({
      number,
      count,
      log: log.child({ worker: number }),
      untilStopped,
      gatherMetrics: gatherFromAll,
    });
    // What work may have left open keeps no worker, for whom nobody may be there to end it.
    process.exit();
  } else if (count === 1) {
    await work({ number: 1, count, log, untilStopped: untilSignal });
  } else {
    await superviseWorkers(options);
  }
}

async function superviseWorkers(options: WorkersOptions): Promise<void> {
  const { count, log } = options;
  cluster.schedulingPolicy = cluster.SCHED_RR;
  const endGathering = gatherBetweenWorkers();
  const loops = Array.from({ length: count }, (_, i) => keepWorker(i + 1, options));
  const signal = await untilSignal();
  log.info({ signal, workers: count }, "closing");
  void untilSignal().then((second) => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill("SIGKILL");
    process.kill(process.pid, second);
  });
  await Promise.all(loops.map((loop) => loop.stop()));
  endGathering();
  process.exit();
}

function keepWorker(number: number, options: WorkersOptions): Loop {
  return runLoop({
    name: `worker ${number}`,
    everyMs: RESTART.minMs,
    backoff: RESTART,
    run: (stopping) => runWorker(number, stopping, options),
    log: options.log,
  });
}

/** Throws where the worker ended too soon to be started again at once. */
async function runWorker(number: number, stopping: AbortSignal, options: WorkersOptions): Promise<void> {
  const { log, stopMs = STOP_MS, pingMs = PING_MS } = options;
  cluster.setupPrimary({ args: [...process.argv.slice(2), `${NUMBER}${number}`] });
  const startedMs = performance.now();
  const worker = cluster.fork();
  closeUndelivered(worker.process);
  let kill: NodeJS.Timeout | undefined;
  const stop = () => {
    worker.send(STOP, () => {}); // one that is gone has heard enough
    kill = setTimeout(() => worker.process.kill("SIGKILL"), stopMs);
  };
  stopping.addEventListener("abort", stop, { once: true });
  // Not known until it has said something: how long a program takes to load is not for here to bound.
  let unanswered: number | undefined;
  worker.on("message", (message) => {
    if (message === PING) unanswered = 0;
  });
  const pulse = setInterval(() => {
    if (unanswered === undefined) return;
    if (unanswered++ < UNANSWERED_MAX) {
      worker.send(PING, () => {});
    } else {
      log.error({ worker: number }, "a worker stands still, and is killed");
      worker.process.kill("SIGKILL");
    }
  }, pingMs);
  const [code, signal] = (await once(worker.process, "exit")) as [number | null, NodeJS.Signals | null];
  stopping.removeEventListener("abort", stop);
  clearTimeout(kill);
  clearInterval(pulse);
  if (stopping.aborted) {
    if (code !== 0) log.warn({ worker: number, code, signal }, "a worker did not end in order");
    return;
  }
  log.error({ worker: number, code, signal }, "a worker ended, and is started again");
  if (performance.now() - startedMs < SETTLED_MS) throw new Error(`worker ${number} did not live long`);
}

// Listens from the start: what is said while the work begins must not be lost.
function stopOfWorker(): () => Promise<string> {
  const stopped = Promise.race([
    untilSignal(),
    new Promise<string>((resolve) => {
      process.on("message", (message) => {
        if (message === STOP) resolve("the primary says so");
        if (message === PING) answerPing();
      });
      cluster.worker!.once("disconnect", () => {
        // Node would end the process here and now.
        cluster.worker!.exitedAfterDisconnect = true;
        resolve("the primary is gone");
      });
    }),
  ]);
  answerPing();
  return () => stopped;
}

function answerPing(): void {
  process.send!(PING, undefined, undefined, () => {}); // a primary that is gone asks no more
}
