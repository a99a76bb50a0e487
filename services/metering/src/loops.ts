import { type ChangeLog, trimChanges } from "@gatehouse/changefeed";
import { type Disposables, type Log, type LoopOptions, runLoop } from "@gatehouse/service";
import type { DataSource } from "typeorm";
import { booksOf } from "./audit-books.ts";
import type { MeteringConfig } from "./config.ts";
import type { AcquireLoop } from "./domain/acquire-loop.ts";
import { AuditWalk } from "./domain/books.ts";
import type { DueSettlements } from "./domain/due-settlements.ts";
import { FORFEIT_GRACE_MS } from "./domain/ledger.ts";
import type { MoneyLoop } from "./domain/money-loop.ts";
import type { Recalls } from "./domain/recalls.ts";
import type { MeteringCounts } from "./metrics.ts";
import type { PostgresAuditStore } from "./storage/audit.ts";
import type { ClockOffset } from "./storage/clock.ts";
import { forgetReservations } from "./storage/held-reservations.ts";
import { listenForNotices } from "./storage/notices.ts";
import { maintainPartitions, usageTables } from "./storage/partitions.ts";
import type { PlanLimits } from "./storage/plan-limits.ts";
import { measureQuarantine, retryQuarantine } from "./storage/quarantine.ts";
import { sweepLeases } from "./storage/sweep.ts";

export interface LoopDependencies {
  readonly config: MeteringConfig;
  readonly log: Log;
  readonly opened: Disposables;
  readonly work: DataSource;
  readonly changeLog: ChangeLog;
  readonly clockOffsetMs: ClockOffset;
  readonly acquires: AcquireLoop;
  readonly money: MoneyLoop;
  readonly recalls: Recalls;
  readonly counts: MeteringCounts;
  readonly dueSettlements: DueSettlements;
  readonly plans: PlanLimits;
  readonly audit: PostgresAuditStore;
}

const RETRY = { minMs: 50, maxMs: 1000 };
const HOUSEKEEPING_MS = 1000;
/** As often as followers ask: a plan's limits are everywhere about as soon as the plan is. */
const PLANS_MS = 250;
/** Often enough that each run forgets few changes. */
const TRIM_MS = 60_000;
/** A slice of some milliseconds each time: ten thousand wallets and a million rows of the ledger take three quarters of an hour. */
const AUDIT_MS = 5000;
/** Rollups that still change, and a day of those that do not. */
const AUDITED_ROLLUPS_MS = 2 * 86_400_000;
/** As often as metrics are scraped; a million rows are counted in a tenth of a second. */
const QUARANTINE_MS = 15_000;
/** A look at the catalog, mostly; partitions are made days ahead. */
const PARTITIONS_MS = 60_000;

/** What goes on beside the calls, for ever. */
export function startLoops(dependencies: LoopDependencies): void {
  const {
    config,
    log,
    opened,
    work,
    changeLog,
    clockOffsetMs,
    acquires,
    money,
    recalls,
    counts,
    dueSettlements,
  } = dependencies;
  const start = (name: string, everyMs: number, run: LoopOptions["run"], backoff = RETRY) => {
    const loop = runLoop({ name, everyMs, backoff, run, log });
    opened.add(name, () => loop.stop());
  };
  const handlers = {
    recall: ({ holder, limitIds }: { holder: string; limitIds: readonly string[] }) =>
      recalls.deliver(holder, limitIds),
    freed(limitIds: readonly string[]) {
      acquires.wake(limitIds);
      money.wake(limitIds);
    },
  };
  start("listen for notices", RETRY.minMs, (signal) =>
    listenForNotices(config.databaseUrl.reveal(), handlers, signal),
  );
  start("sweep leases", HOUSEKEEPING_MS, async () => {
    counts.forfeitedUnits += await sweepLeases(work, changeLog, FORFEIT_GRACE_MS, clockOffsetMs);
  });
  start("retry quarantine", HOUSEKEEPING_MS, async () => {
    const booked = await retryQuarantine(work);
    counts.booked += booked;
    if (booked > 0) log.info({ booked }, "booked usage out of quarantine");
  });
  start("measure quarantine", QUARANTINE_MS, async () => {
    counts.quarantine = await measureQuarantine(work);
  });
  start("book settled reservations", HOUSEKEEPING_MS, () => dueSettlements.book());
  start("apply plans", PLANS_MS, async (signal) => {
    while (!signal.aborted && (await dependencies.plans.applySome()) > 0);
  });
  start("forget reservations", HOUSEKEEPING_MS, () => forgetReservations(work, clockOffsetMs));
  start(
    "maintain partitions",
    PARTITIONS_MS,
    async () => {
      const changed = await maintainPartitions(work, usageTables(config.usage), clockOffsetMs);
      if (changed.made.length + changed.dropped.length > 0) log.info(changed, "made and dropped partitions");
    },
    // Who waits to drop one is waited for by everybody: not again at once.
    { minMs: 5000, maxMs: PARTITIONS_MS },
  );
  const walk = new AuditWalk(booksOf(work, AUDITED_ROLLUPS_MS, clockOffsetMs));
  start(
    "audit books",
    AUDIT_MS,
    async () => {
      const { looked, differences } = await walk.step();
      counts.books.looked += looked;
      counts.books.differences += differences.length;
      for (const difference of differences) log.error(difference, "the books do not add up");
    },
    // The next slice after one that failed, which may have taken long.
    { minMs: AUDIT_MS, maxMs: AUDIT_MS },
  );
  start("forget the oldest audit events", TRIM_MS, () =>
    dependencies.audit.sweep(config.auditRetentionDays * 86_400_000),
  );
  start("trim the change log", TRIM_MS, () => trimChanges(work.manager));
}
