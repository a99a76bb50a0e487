import cluster from "node:cluster";
import { AggregatorRegistry, type Registry } from "prom-client";
import { withDeadline } from "./deadline.ts";

/**
 * Whichever worker is scraped answers for all: it asks the primary, which asks every worker. What each says is added up
 * as the metrics' aggregators state. Where a worker that can be asked does not answer the scrape fails: a gap in a
 * graph is the truth, and counters without one worker's share are not.
 */

type Metrics = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** Between the primary and its workers. `scrape` is the asker's number of what it asked. */
type Message =
  | { readonly kind: "metrics.ready" }
  | { readonly kind: "metrics.scrape"; readonly scrape: number }
  | { readonly kind: "metrics.ask"; readonly asker: number; readonly scrape: number }
  | {
      readonly kind: "metrics.tell";
      readonly asker: number;
      readonly scrape: number;
      readonly metrics: Metrics;
    }
  | { readonly kind: "metrics.all"; readonly scrape: number; readonly all: readonly Metrics[] };

/** Below the 10 s that Prometheus gives a scrape by default. */
const SCRAPE_MS = 5000;

/** In a worker: answers for `own` when asked, and returns what asks all. */
export function gatherFromAll(own: Registry): () => Promise<string> {
  const scrapes = new Map<number, (all: readonly Metrics[]) => void>();
  let lastScrape = 0;
  process.on("message", (message: Message) => {
    if (message.kind === "metrics.ask") {
      const { asker, scrape } = message;
      own.getMetricsAsJSON().then(
        (metrics) => tell({ kind: "metrics.tell", asker, scrape, metrics }),
        () => {}, // who asked runs out of time, and its scrape fails
      );
    } else if (message.kind === "metrics.all") {
      scrapes.get(message.scrape)?.(message.all);
    }
  });
  tell({ kind: "metrics.ready" });
  return async () => {
    const scrape = ++lastScrape;
    const all = new Promise<readonly Metrics[]>((resolve) => scrapes.set(scrape, resolve));
    tell({ kind: "metrics.scrape", scrape });
    try {
      const metrics = await withDeadline(
        all,
        SCRAPE_MS,
        () => new Error("a worker did not answer the scrape"),
      );
      return await AggregatorRegistry.aggregate([...metrics] as never).metrics();
    } finally {
      scrapes.delete(scrape);
    }
  };
}

interface Gathering {
  readonly from: ReadonlySet<number>;
  readonly told: Map<number, Metrics>;
}

/** In the primary: carries questions and answers until the returned function is called. */
export function gatherBetweenWorkers(): () => void {
  const ready = new Set<number>();
  const gatherings = new Map<string, Gathering>();

  const answerWhole = (name: string, { from, told }: Gathering) => {
    if ([...from].some((id) => ready.has(id) && !told.has(id))) return;
    gatherings.delete(name);
    const [asker, scrape] = name.split("/").map(Number) as [number, number];
    say(asker, { kind: "metrics.all", scrape, all: [...told.values()] });
  };
  const hear = ({ id }: { readonly id: number }, message: Message) => {
    if (message.kind === "metrics.ready") ready.add(id);
    if (message.kind === "metrics.scrape") {
      const name = `${id}/${message.scrape}`;
      gatherings.set(name, { from: new Set(ready), told: new Map() });
      // Its asker has given up by then.
      setTimeout(() => gatherings.delete(name), SCRAPE_MS).unref();
      for (const each of ready) say(each, { kind: "metrics.ask", asker: id, scrape: message.scrape });
    }
    if (message.kind === "metrics.tell") {
      const name = `${message.asker}/${message.scrape}`;
      const gathering = gatherings.get(name);
      gathering?.told.set(id, message.metrics);
      if (gathering !== undefined) answerWhole(name, gathering);
    }
  };
  const forget = ({ id }: { readonly id: number }) => {
    ready.delete(id);
    for (const [name, gathering] of gatherings) answerWhole(name, gathering);
  };
  cluster.on("message", hear).on("exit", forget).on("disconnect", forget);
  return () => {
    cluster.off("message", hear).off("exit", forget).off("disconnect", forget);
  };
}

// Who is gone needs no answer.
function say(worker: number, message: Message): void {
  cluster.workers?.[worker]?.send(message, () => {});
}

function tell(message: Message): void {
  process.send?.(message, undefined, undefined, () => {});
}
