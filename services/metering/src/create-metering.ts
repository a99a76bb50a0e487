import { type Principal, RefusalRecord } from "@gatehouse/access";
import { auditedGuard, warnOfLost } from "@gatehouse/access/audited-guard";
import { chargingGuard } from "@gatehouse/access/charging-guard";
import { accessGuard } from "@gatehouse/access/guard";
import {
  bellSubject,
  ChangeLog,
  encodeBell,
  Follower,
  follow,
  loggedDatabaseFailure,
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
import { recordRefusals } from "./domain/record-refusal.ts";
import { ReportRounds } from "./domain/report-rounds.ts";
import { followedIdentity } from "./followed-identity.ts";
import { type IdentityFeed, identityFeed } from "./identity-feed.ts";
import { startLoops } from "./loops.ts";
import { MeteringCounts, meteringMetrics } from "./metrics.ts";
import { openMoney } from "./money.ts";
import { auditRoute } from "./rpc/audit-service.ts";
import { auditedRoute, isAudited } from "./rpc/audited-route.ts";
import { chargeCallsTo, controlRoute } from "./rpc/control-service.ts";
import { feedRoute } from "./rpc/feed-service.ts";
import { holdingRoute } from "./rpc/holding-service.ts";
import { ingestRoute } from "./rpc/ingest-service.ts";
import { leaseRoute } from "./rpc/lease-service.ts";
import { limitRoute } from "./rpc/limit-service.ts";
import { usageRoute } from "./rpc/usage-service.ts";
import { PostgresAuditStore } from "./storage/audit.ts";
import type { ClockOffset } from "./storage/clock.ts";
import { PostgresControlStore } from "./storage/control-store.ts";
import { PostgresGapStore } from "./storage/gap-store.ts";
import { OpenReservations } from "./storage/held-reservations.ts";
import { PostgresIngestStore } from "./storage/ingest-store.ts";
import { PostgresLeaseStore } from "./storage/lease-store.ts";
import { PostgresLimitStore } from "./storage/limit-store.ts";
import { migrations } from "./storage/migrations.ts";
import { type MirrorChange, MirrorReplica } from "./storage/mirror-replica.ts";
import { maintainPartitions, usageTables } from "./storage/partitions.ts";
import { PlanLimits } from "./storage/plan-limits.ts";
import { PostgresMirror } from "./storage/postgres-mirror.ts";
import { PostgresPriceBook } from "./storage/price-book.ts";
import { PostgresReportStore } from "./storage/report-store.ts";
import { PostgresReservationStore } from "./storage/reservation-store.ts";
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

    const acquires = new AcquireLoop(
      new PostgresLeaseStore(quick, quickLog, clockOffsetMs),
      overrides.waitMs,
    );
    opened.add("acquires", () => acquires.close());
    const counts = new MeteringCounts();
    const money = openMoney({
      opened,
      mirror,
      work,
      quickLog,
      workLog: changeLog,
      clockOffsetMs,
      waitMs: overrides.waitMs,
      waits: counts.moneyWaits,
    });
    const recalls = new Recalls();
    const reservations = new PostgresReservationStore(changeLog, clockOffsetMs);
    const dueSettlements = new DueSettlements(reservations);
    const audit = new PostgresAuditStore(work);
    // Before the first write: rows for which there is no partition yet are moved once there is, and who reads just then
    // may miss them. Where it fails, the loop goes on trying.
    await maintainPartitions(work, usageTables(config.usage), clockOffsetMs).catch((error: unknown) =>
      log.warn({ err: error }, "partitions are not made yet"),
    );
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
      audit,
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
      changeLog,
      clockOffsetMs,
      counts,
    });
    const nowMs = () => Date.now() + clockOffsetMs();
    const wallets = new PostgresWalletReadings(work);
    const reports = new PostgresReportStore(work, changeLog, clockOffsetMs);
    const rounds = new ReportRounds(reports, new PartCarries());
    opened.add("reports", () => rounds.close());
    const routes = [
      limitRoute({ ...limits, wallets }),
      auditRoute({ mirror, events: audit, nowMs }),
      controlRoute(control),
      leaseRoute({
        acquires,
        recalls,
        catchUp: catchUpWith(identity),
        limits: limits.store,
        wallets,
      }),
      ingestRoute({
        gaps: new PostgresGapStore(changeLog),
        store: new PostgresIngestStore(work, changeLog, clockOffsetMs),
        identity,
        alarm,
        onTaken,
      }),
      usageRoute(
        { mirror, store: new PostgresUsageStore(work), nowMs },
        {
          store: reservations,
          due: dueSettlements,
          ids: new ReservedDecisionIds(config.serviceSecret.reveal()),
        },
        {
          store: reports,
          identity,
          keptMs: config.usage.minutesKeptMs,
          rounds,
          onReported: (report) => counts.countReport(report),
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
    const translate = loggedDatabaseFailure(log);
    const refusals = new RefusalRecord(warnOfLost(log));
    const record = recordRefusals(audit, refusals, nowMs);
    const audited = auditedGuard(guard, { format, directory: mirror, record, isAudited });
    return {
      routes: routes.map((route) => translatedRoute(auditedRoute(route, record), translate)),
      guard: translatedGuard(chargingGuard(audited, chargeCallsTo(control)), translate),
      metrics: meteringMetrics({
        counts,
        follower,
        acquires,
        money: money.loop,
        recalls,
        refusals,
        pools: { work, quick },
      }),
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
    migrations,
    poolSize,
  });
  opened.add("database", () => dataSource.destroy());
  return dataSource;
}
