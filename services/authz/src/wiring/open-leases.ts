import { type Clock, Follower } from "@gatehouse/changefeed";
import { type Disposables, type Log, runLoop } from "@gatehouse/service";
import { LeasePool } from "../domain/lease-pool.ts";
import { LimitBook } from "../domain/limit-book.ts";
import { MeteringReplica } from "../domain/metering-replica.ts";
import { PriceBook } from "../domain/price-book.ts";
import type { Shipper, Spool } from "../spool/index.ts";
import type { GrpcMeteringSource } from "../upstream/metering-source.ts";

export interface LeasesOptions {
  readonly metering: GrpcMeteringSource;
  readonly spool: Spool;
  readonly shipper: Shipper;
  /** How many nodes' limits are kept. */
  readonly nodes: number;
  readonly clock: Clock;
  readonly identityFreshness: () => string;
  readonly onWaited: (ms: number) => void;
  readonly opened: Disposables;
}

/** Limits, wallets and prices, not followed yet, and the units in hand of them; the end gives these back. */
export function openLeases({ metering, spool, shipper, nodes, clock, opened, ...told }: LeasesOptions) {
  const book = new LimitBook(nodes);
  const prices = new PriceBook(() => metering.prices());
  const replica = new MeteringReplica(book, prices);
  const follower = new Follower({ source: metering, replica, clock });
  const ship = () => void spool.seal().then(() => shipper.kick());
  const pool = new LeasePool({ book, prices, journal: spool, source: metering, clock, ship, ...told });
  opened.add("leases", () => pool.drain());
  return { book, prices, replica, follower, pool };
}

const SWEEP_MS = 500;
/** A lease that nobody spends from goes back after this long. */
const IDLE_LEASE_MS = 30_000;
const RECALL_BACKOFF = { minMs: 50, maxMs: 1000 };

/** Gives back what metering wants back, and what is over or idle, until the end. */
export function tendLeases(
  pool: LeasePool,
  metering: Pick<GrpcMeteringSource, "recalls">,
  log: Log,
  opened: Disposables,
): void {
  const recalls = runLoop({
    name: "watch recalls",
    everyMs: RECALL_BACKOFF.minMs,
    backoff: RECALL_BACKOFF,
    run: async (signal) => {
      for await (const limitIds of metering.recalls(signal)) pool.recall(limitIds);
    },
    log,
  });
  opened.add("recalls", () => recalls.stop());
  const sweeping = setInterval(() => pool.sweep(IDLE_LEASE_MS), SWEEP_MS);
  opened.add("sweeping", () => clearInterval(sweeping));
}
