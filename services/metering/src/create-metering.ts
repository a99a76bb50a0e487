import type { Principal } from "@gatehouse/access";
import { chargingGuard } from "@gatehouse/access/charging-guard";
import { accessGuard } from "@gatehouse/access/guard";
import {
  bellSubject,
  ChangeLog,
  databaseFailure,
  encodeBell,
  Follower,
  follow,
  openDatabase,
  translatedGuard,
  translatedRoute,
} from "@gatehouse/changefeed";
import { KeyFormat, ReservedDecisionIds } from "@gatehouse/keys";
import {
  type Bus,
  Disposables,
  type Guard,
  type Log,
  type Metric,
  openBus,
  type Route,
} from "@gatehouse/service";
import type { DataSource } from "typeorm";
import { openAlerts } from "./alerts.ts";
import type { MeteringConfig } from "./config.ts";
import { AcquireLoop } from "./domain/acquire-loop.ts";
import { catchUpWith } from "./domain/catch-up.ts";
import { DueSettlements } from "./domain/due-settlements.ts";
import { GatheredMirror } from "./domain/gathered-mirror.ts";
import { FreshMirror } from "./domain/mirror.ts";
import { PartCarries } from "./domain/part-carries.ts";
import { Recalls } from "./domain/recalls.ts";
import { followedIdentity } from "./followed-identity.ts";
import { type IdentityFeed, identityFeed } from "./identity-feed.ts";
import { startLoops } from "./loops.ts";
import { MeteringCounts, meteringMetrics } from "./metrics.ts";
import { openMoney } from "./money.ts";
import { chargeCallsTo, controlRoute } from "./rpc/control-service.ts";
import { feedRoute } from "./rpc/feed-service.ts";
import { holdingRoute } from "./rpc/holding-service.ts";
import { ingestRoute } from "./rpc/ingest-service.ts";
import { leaseRoute } from "./rpc/lease-service.ts";
import { limitRoute } from "./rpc/limit-service.ts";
import { usageRoute } from "./rpc/usage-service.ts";
import { AccountParents1764420000000 } from "./storage/account-parents-migration.ts";
import { Alerts1764700000000 } from "./storage/alerts-migration.ts";
import type { ClockOffset } from "./storage/clock.ts";
import { PostgresControlStore } from "./storage/control-store.ts";
import { EndedHolders1764100000000 } from "./storage/ended-holders-migration.ts";
import { EpochGaps1764540000000 } from "./storage/epoch-gaps-migration.ts";
import { PostgresGapStore } from "./storage/gap-store.ts";
import { OpenReservations } from "./storage/held-reservations.ts";
import { PostgresIngestStore } from "./storage/ingest-store.ts";
import { Initial1764000000000 } from "./storage/initial-migration.ts";
import { PostgresLeaseStore } from "./storage/lease-store.ts";
import { LedgerOrder1764610000000 } from "./storage/ledger-order-migration.ts";
import { PostgresLimitStore } from "./storage/limit-store.ts";
import { MirrorNodes1764200000000 } from "./storage/mirror-nodes-migration.ts";
import { type MirrorChange, MirrorReplica } from "./storage/mirror-replica.ts";
import { Money1764600000000 } from "./storage/money-migration.ts";
import { PlanLimits } from "./storage/plan-limits.ts";
import { Plans1764400000000 } from "./storage/plans-migration.ts";
import { PostgresMirror } from "./storage/postgres-mirror.ts";
import { PostgresPriceBook } from "./storage/price-book.ts";
import { Quarantine1764520000000 } from "./storage/quarantine-migration.ts";
import { PostgresReportStore } from "./storage/report-store.ts";
import { Reports1764500000000 } from "./storage/reports-migration.ts";
import { ReservationCosts1764660000000 } from "./storage/reservation-costs-migration.ts";
import { PostgresReservationStore } from "./storage/reservation-store.ts";
import { Reservations1764300000000 } from "./storage/reservations-migration.ts";
import { ReservedShares1764410000000 } from "./storage/reserved-shares-migration.ts";
import { Statements1764620000000 } from "./storage/statements-migration.ts";
import { UsageAccounts1764530000000 } from "./storage/usage-accounts-migration.ts";
import { UsageCosts1764650000000 } from "./storage/usage-costs-migration.ts";
import { UsagePartitions1764510000000 } from "./storage/usage-partitions-migration.ts";
import { PostgresUsageStore } from "./storage/usage-store.ts";
import { PostgresWalletReadings } from "./storage/wallet-readings.ts";

/** What tests and the stack put in the place of what the configuration would give. */
export interface MeteringOverrides {
  /** Shared with other services of the process; left open by `close`. */
  readonly bus?: Bus;
  /** In the place of identity over gRPC; closed by `close`. */
  readonly identity?: IdentityFeed;
  /** Added to the database's time; tests move time with it. */
  readonly clockOffsetMs?: ClockOffset;
  /** How long an ask waits for units that others hold, where that is not 50 ms. */
  readonly waitMs?: number;
}

/** metering, ready to be served. */
export interface Metering {
  readonly routes: readonly Route<Principal>[];
  readonly guard: Guard<Principal>;
  readonly metrics: readonly Metric[];
  /** Of identity; how fresh the mirror is. */
  readonly follower: Follower<MirrorChange>;
  readonly changeLog: ChangeLog;
  /** Rejects where the database does not answer, and until the mirror has been proven once. */
  ready(): Promise<void>;
  /** After the server has closed. */
  close(): Promise<void>;
}

/** Batches and reports take their time, and keep a connection each meanwhile. */
const WORK_CONNECTIONS = 16;
/** So acquires, the feed and the mirror have their own: none of them waits behind a batch. */
const QUICK_CONNECTIONS = 8;

/** Opens the database, migrates it, begins to follow identity, and wires everything up. */
export async function createMetering(
  config: MeteringConfig,
  log: Log,
  overrides: MeteringOverrides = {},
): Promise<Metering> {
  const { clockOffsetMs = () => 0 } = overrides;
  const opened = new Disposables(log);
  try {
    const work = await open(config, opened, WORK_CONNECTIONS);
    const quick = await open(config, opened, QUICK_CONNECTIONS);
    const bus = overrides.bus ?? openBus({ urls: config.natsUrls, name: "metering", log, opened });
    const ring = (entityIds: readonly string[]) =>
      bus.publish(bellSubject("metering"), encodeBell({ entityIds }));
    const changeLog = new ChangeLog({ dataSource: work, source: "metering", ring });
    const quickLog = new ChangeLog({ dataSource: quick, source: "metering", ring });

    const source = overrides.identity ?? identityFeed(config.identityAddress, config.serviceSecret.reveal());
    opened.add("identity", () => source.close());
    const replica = new MirrorReplica(quick.manager, quickLog, source.snapshot);
    const follower = new Follower({ source, replica });
    const identity = followedIdentity(follower);
    const mirror = new FreshMirror(new GatheredMirror(new PostgresMirror(quick)), identity);

    const acquires = new AcquireLoop(new PostgresLeaseStore(quickLog, clockOffsetMs), overrides.waitMs);
    opened.add("acquires", () => acquires.close());
    const moneyLog = new ChangeLog({ dataSource: quick, source: "metering", ring });
    const money = openMoney({
      opened,
      mirror,
      work,
      quickLog: moneyLog,
      workLog: changeLog,
      clockOffsetMs,
      waitMs: overrides.waitMs,
    });
    const recalls = new Recalls();
    const counts = new MeteringCounts();
    const reservations = new PostgresReservationStore(changeLog, clockOffsetMs);
    const dueSettlements = new DueSettlements(reservations);
    startLoops({
      config,
      log,
      opened,
      work,
      changeLog,
      clockOffsetMs,
      acquires,
      money: money.loop,
      recalls,
      counts,
      dueSettlements,
      plans: new PlanLimits(changeLog, clockOffsetMs),
    });
    const following = follow({ follower, source: "identity", bus, log, onBell: () => identity.doubt() });
    opened.add("follower", () => following.stop());

    const control = new PostgresControlStore(quick, quickLog, clockOffsetMs);
    const limits = { mirror, store: new PostgresLimitStore(work, changeLog, clockOffsetMs) };
    const alarm = (what: object, message: string) => {
      counts.alarms++;
      log.error(what, message);
    };
    const onTaken = (rows: number, quarantined: number) => {
      counts.ingest.batches++;
      counts.ingest.rows += rows;
      counts.ingest.quarantined += quarantined;
    };
    const alerts = openAlerts({
      config,
      opened,
      log,
      bus,
      mirror,
      limits: limits.store,
      work,
      clockOffsetMs,
      counts,
    });
    const routes = [
      limitRoute(limits),
      controlRoute(control),
      leaseRoute({
        acquires,
        recalls,
        catchUp: catchUpWith(identity),
        limits: limits.store,
        wallets: new PostgresWalletReadings(work),
      }),
      ingestRoute({
        gaps: new PostgresGapStore(changeLog),
        store: new PostgresIngestStore(work, changeLog, clockOffsetMs),
        identity,
        alarm,
        onTaken,
      }),
      usageRoute(
        { mirror, store: new PostgresUsageStore(work), nowMs: () => Date.now() + clockOffsetMs() },
        {
          store: reservations,
          due: dueSettlements,
          ids: new ReservedDecisionIds(config.serviceSecret.reveal()),
        },
        {
          store: new PostgresReportStore(work, changeLog, clockOffsetMs),
          identity,
          keptMs: config.usage.minutesKeptMs,
          carries: new PartCarries(),
        },
        money.statements,
      ),
      money.route,
      alerts,
      feedRoute(quickLog, new PostgresPriceBook(quickLog)),
      holdingRoute({
        mirror,
        loop: money.loop,
        store: money.filled,
        keepers: [new OpenReservations(work, clockOffsetMs), money.filled],
      }),
    ];
    const format = new KeyFormat({ prefix: config.keyPrefix, peppers: config.peppers });
    const guard = accessGuard({
      directory: mirror,
      format,
      serviceSecret: config.serviceSecret.reveal(),
      trustedProxies: config.trustedProxies,
    });
    return {
      routes: routes.map((route) => translatedRoute(route, databaseFailure)),
      guard: translatedGuard(chargingGuard(guard, chargeCallsTo(control)), databaseFailure),
      metrics: meteringMetrics({ counts, follower, acquires, recalls, pools: { work, quick } }),
      follower,
      changeLog,
      async ready() {
        await quickLog.head();
        if (follower.position === undefined) throw new Error("the mirror of identity is not proven yet");
      },
      close: () => opened.close(),
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function open(config: MeteringConfig, opened: Disposables, poolSize: number): Promise<DataSource> {
  const dataSource = await openDatabase({
    url: config.databaseUrl.reveal(),
    schema: "metering",
    entities: [],
    migrations: [
      Initial1764000000000,
      EndedHolders1764100000000,
      MirrorNodes1764200000000,
      Reservations1764300000000,
      Plans1764400000000,
      ReservedShares1764410000000,
      AccountParents1764420000000,
      Reports1764500000000,
      UsagePartitions1764510000000,
      Quarantine1764520000000,
      UsageAccounts1764530000000,
      EpochGaps1764540000000,
      Money1764600000000,
      LedgerOrder1764610000000,
      Statements1764620000000,
      UsageCosts1764650000000,
      ReservationCosts1764660000000,
      Alerts1764700000000,
    ],
    poolSize,
  });
  opened.add("database", () => dataSource.destroy());
  return dataSource;
}
