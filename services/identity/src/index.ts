import { type Directory, type Principal, RefusalRecord } from "@gatehouse/access";
import { type AuditedGuardOptions, auditedGuard, warnOfLost } from "@gatehouse/access/audited-guard";
import { chargingGuard } from "@gatehouse/access/charging-guard";
import { accessGuard } from "@gatehouse/access/guard";
import {
  bellSubject,
  ChangeLog,
  encodeBell,
  loggedDatabaseFailure,
  openDatabase,
  translatedGuard,
  translatedRoute,
  trimChanges,
} from "@gatehouse/changefeed";
import { deliverEvents, type EventDelivery, publishEvents, sweepAudit } from "@gatehouse/events";
import { KeyFormat, Sealer } from "@gatehouse/keys";
import {
  type Bus,
  Disposables,
  type Guard,
  type Log,
  type Loop,
  type Metric,
  openBus,
  type Route,
  runLoop,
} from "@gatehouse/service";
import type { DataSource } from "typeorm";
import type { IdentityConfig } from "./config.ts";
import { type Bootstrapped, bootstrap } from "./domain/bootstrap.ts";
import type { Plan } from "./domain/definitions/definition.ts";
import { DEFAULT_PLAN } from "./domain/definitions/plan.ts";
import type { Domain } from "./domain/domain.ts";
import { recordRefusal } from "./domain/events/audit.ts";
import { SeenKeys } from "./domain/keys/activity.ts";
import { FairShare } from "./domain/rules/fair-share.ts";
import type { Store } from "./domain/store.ts";
import { ImportedKeys } from "./imported-keys.ts";
import { startLoops } from "./loops.ts";
import { IdentityCounts, identityMetrics } from "./metrics.ts";
import { activityGuard } from "./rpc/activity-guard.ts";
import { routes } from "./rpc/routes.ts";
import { accountRows } from "./storage/account-row.ts";
import { DatabaseActivity } from "./storage/activity-store.ts";
import { auditRows } from "./storage/audit-row.ts";
import { DatabaseFeed } from "./storage/database-feed.ts";
import { DatabaseStore } from "./storage/database-store.ts";
import { definitionRows } from "./storage/definition-row.ts";
import { invitationRows } from "./storage/invitation-row.ts";
import { keyRows } from "./storage/key-row.ts";
import { migrations } from "./storage/migrations/index.ts";
import { DatabaseNonces } from "./storage/nonce-store.ts";
import { replayRows } from "./storage/replay-row.ts";
import { sealedPlaces } from "./storage/reseal-places.ts";
import { webhookRows } from "./storage/webhook-row.ts";
import { MeteringHoldings } from "./upstream/metering-holdings.ts";
import { MeteringRates } from "./upstream/metering-rates.ts";

export { type IdentityConfig, readIdentityConfig } from "./config.ts";
export type { Bootstrapped } from "./domain/bootstrap.ts";
export type { Plan } from "./domain/definitions/definition.ts";
export { DEFAULT_PLAN } from "./domain/definitions/plan.ts";
export { keepRootKey } from "./keep-root-key.ts";

/** What tests and the stack put in the place of what the configuration would give. */
export interface IdentityOverrides {
  /** Shared with other services of the process; left open by `close`. */
  readonly bus?: Bus;
  readonly nowMs?: () => number;
  /** What the first start makes of the plan `default`. */
  readonly plan?: Plan;
  /** Where metering answers gRPC, for a process that starts it later; asked when metering is. */
  readonly meteringAddress?: () => string | undefined;
  /** Wraps the store; for tests that take a mechanism away. */
  readonly wrapStore?: (store: Store) => Store;
}

/** identity, ready to be served. */
export interface Identity {
  readonly routes: readonly Route<Principal>[];
  readonly guard: Guard<Principal>;
  readonly metrics: readonly Metric[];
  readonly changeLog: ChangeLog;
  /** What the first start made. */
  readonly bootstrapped: Bootstrapped;
  /** Rejects where the database does not answer. */
  ready(): Promise<void>;
  /** After the server has closed. */
  close(): Promise<void>;
}

/** Often enough that each run forgets few changes. */
const TRIM_EVERY_MS = 60_000;

/** Changes may wait for each other at a gate, up to a second, and keep a connection each meanwhile. */
const CHANGE_CONNECTIONS = 16;
/** So the feed has its own: a crowd at a gate must not cost followers their freshness. */
const FEED_CONNECTIONS = 8;

/** Opens the database, migrates it, makes the root at the first start, and wires everything up. */
export async function createIdentity(
  config: IdentityConfig,
  log: Log,
  overrides: IdentityOverrides = {},
): Promise<Identity> {
  const { nowMs = Date.now, plan = DEFAULT_PLAN, wrapStore = (store) => store } = overrides;
  const format = new KeyFormat({ prefix: config.keyPrefix, peppers: config.peppers });
  const sealer = new Sealer(config.encryptionKeys);
  const opened = new Disposables(log);
  try {
    const dataSource = await open(config, opened, CHANGE_CONNECTIONS);
    const followed = await open(config, opened, FEED_CONNECTIONS);
    const bus = overrides.bus ?? openBus({ urls: config.natsUrls, name: "identity", log, opened });
    const ring = (entityIds: readonly string[]) => {
      imports.forget();
      bus.publish(bellSubject("identity"), encodeBell({ entityIds }));
    };
    const changeLog = new ChangeLog({ dataSource, source: "identity", ring });
    let delivery: EventDelivery | undefined;
    const database = new DatabaseStore(dataSource, changeLog, (events) => {
      publishEvents(bus, events);
      delivery?.poke();
    });
    const store = wrapStore(database);
    const imports = new ImportedKeys(store);
    const { meteringAddress = () => config.meteringAddress } = overrides;
    const holdings = new MeteringHoldings(meteringAddress, config.serviceSecret.reveal());
    opened.add("metering", () => holdings.close());
    const rates = new MeteringRates(meteringAddress, config.serviceSecret.reveal());
    opened.add("rates", () => rates.close());
    const domain: Domain = {
      store,
      format,
      sealer,
      holdings,
      shares: new FairShare(),
      refusals: new RefusalRecord(warnOfLost(log)),
      insecureWebhooks: config.insecureWebhooks,
      nowMs,
    };
    const bootstrapped = await bootstrap(domain, plan, config.rootKey?.reveal());
    const trimming = trimLoop(dataSource, log);
    opened.add("trimming", () => trimming.stop());
    const forgetting = auditLoop(dataSource, config.auditRetentionDays, nowMs, log);
    opened.add("forgetting", () => forgetting.stop());
    const { insecureWebhooks: insecure } = config;
    const counts = new IdentityCounts();
    const { deliveries } = counts;
    delivery = deliverEvents({ dataSource: followed, sealer, insecure, nowMs, log, counts: deliveries });
    opened.add("delivery", delivery.stop);
    const directory: Directory = {
      findKey: (keyId) => store.keys.find(keyId),
      findImported: (presented) => imports.find(presented),
    };
    const guard = accessGuard({
      directory,
      format,
      serviceSecret: config.serviceSecret.reveal(),
      trustedProxies: config.trustedProxies,
      nowMs,
    });
    const audit: AuditedGuardOptions = {
      format,
      directory,
      record: (attempt, refusal) => recordRefusal(domain, attempt, refusal),
    };
    const feedLog = new ChangeLog({ dataSource: followed, source: "identity" });
    const feed = new DatabaseFeed(feedLog);
    const seen = new SeenKeys();
    const facts = {
      activity: new DatabaseActivity(followed.manager),
      nonces: new DatabaseNonces(followed.manager),
    };
    const places = sealedPlaces(dataSource.manager);
    startLoops({ domain, seen, ...facts, sealedPlaces: places, counts }, opened, log);
    const translate = loggedDatabaseFailure(log);
    return {
      routes: routes(domain, feed, { ...facts, nowMs }).map((route) => translatedRoute(route, translate)),
      guard: translatedGuard(
        activityGuard(chargingGuard(auditedGuard(guard, audit), rates.charge), seen, nowMs),
        translate,
      ),
      metrics: identityMetrics(counts, rates, domain.refusals, { changes: dataSource, feed: followed }),
      changeLog,
      bootstrapped,
      ready: async () => {
        await feedLog.head();
      },
      close: () => opened.close(),
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function open(config: IdentityConfig, opened: Disposables, poolSize: number): Promise<DataSource> {
  const dataSource = await openDatabase({
    url: config.databaseUrl.reveal(),
    schema: "identity",
    entities: [accountRows, keyRows, invitationRows, definitionRows, auditRows, replayRows, webhookRows],
    migrations,
    poolSize,
  });
  opened.add("database", () => dataSource.destroy());
  return dataSource;
}

function trimLoop(dataSource: DataSource, log: Log): Loop {
  return runLoop({
    name: "trim the change log",
    everyMs: TRIM_EVERY_MS,
    backoff: { minMs: TRIM_EVERY_MS, maxMs: TRIM_EVERY_MS },
    run: () => trimChanges(dataSource.manager),
    log,
  });
}

function auditLoop(dataSource: DataSource, days: number, nowMs: () => number, log: Log): Loop {
  return runLoop({
    name: "forget the oldest audit events",
    everyMs: TRIM_EVERY_MS,
    backoff: { minMs: TRIM_EVERY_MS, maxMs: TRIM_EVERY_MS },
    run: () => sweepAudit(dataSource.manager, new Date(nowMs() - days * 86_400_000)),
    log,
  });
}
