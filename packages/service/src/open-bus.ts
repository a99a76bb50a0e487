import type { Bus } from "./bus.ts";
import { localBus } from "./bus-local.ts";
import { natsBus } from "./bus-nats.ts";
import type { Log } from "./log.ts";
import type { Disposables } from "./shutdown.ts";

/** Options of {@link openBus}. */
export interface OpenBusOptions {
  /** The NATS to use; without it the bus stays within the process. */
  readonly urls: readonly string[] | undefined;
  /** What NATS shows as the connection's name. */
  readonly name: string;
  readonly log: Log;
  /** Closes the bus with the rest. */
  readonly opened: Disposables;
}

/** The bus that a configuration asks for. */
export function openBus({ urls, name, log, opened }: OpenBusOptions): Bus {
  const bus = urls === undefined ? localBus({ log }) : natsBus({ urls, name, log });
  opened.add("bus", () => bus.close());
  return bus;
}
