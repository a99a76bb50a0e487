import type { Principal } from "@gatehouse/access";
import type { ChangeLog } from "@gatehouse/changefeed";
import { deliverEvents, publishEvents, webhookSecrets } from "@gatehouse/events";
import { reseal, Sealer } from "@gatehouse/keys";
import {
  type Bus,
  type Disposables,
  type Log,
  type LoopOptions,
  type Route,
  runLoop,
} from "@gatehouse/service";
import type { DataSource } from "typeorm";
import type { MeteringConfig } from "./config.ts";
import type { LimitStore } from "./domain/limit-store.ts";
import type { Mirror } from "./domain/mirror.ts";
import type { MeteringCounts } from "./metrics.ts";
import { alertRoute } from "./rpc/alert-service.ts";
import { AlertRounds } from "./storage/alert-rounds.ts";
import { PostgresAlertStore } from "./storage/alert-store.ts";
import type { ClockOffset } from "./storage/clock.ts";

export interface AlertOptions {
  readonly config: Pick<MeteringConfig, "encryptionKeys" | "insecureWebhooks">;
  readonly opened: Disposables;
  readonly log: Log;
  readonly bus: Bus;
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly limits: Pick<LimitStore, "find">;
  readonly work: DataSource;
  readonly changeLog: ChangeLog;
  readonly clockOffsetMs: ClockOffset;
  readonly counts: MeteringCounts;
}

/** Who is to be told of a limit that is nearly used up hears of it about a second after the batch. */
const EVALUATE_MS = 500;
const SWEEP_MS = 60_000;
/**
 * A replica that still has the old encryption key first may seal with it for as long as a rolling restart takes. The
 * walk finds nothing nearly always.
 */
const RESEAL_MS = 5 * 60_000;

/** Alerts and their webhooks, wired up: what is asked of them, and what goes on beside the calls. */
export function openAlerts(options: AlertOptions): Route<Principal> {
  const { config, opened, log, bus, mirror, limits, work, changeLog, clockOffsetMs, counts } = options;
  const { encryptionKeys, insecureWebhooks: insecure } = config;
  const sealer = new Sealer(encryptionKeys);
  const start = (name: string, everyMs: number, run: LoopOptions["run"]) => {
    const loop = runLoop({ name, everyMs, backoff: { minMs: everyMs, maxMs: 10 * everyMs }, run, log });
    opened.add(name, () => loop.stop());
  };
  const delivery = deliverEvents({
    dataSource: work,
    sealer,
    insecure,
    nowMs: () => Date.now() + clockOffsetMs(),
    log,
    counts: counts.deliveries,
  });
  opened.add("delivery", delivery.stop);
  const rounds = new AlertRounds(work, clockOffsetMs);
  start("evaluate alerts", EVALUATE_MS, (signal) =>
    rounds.pass(({ evaluated, told }) => {
      counts.alerts.evaluated += evaluated;
      counts.alerts.told += told.length;
      publishEvents(bus, told);
      if (told.length > 0) delivery.poke();
    }, signal),
  );
  start("sweep alerts", SWEEP_MS, () => rounds.sweep());
  start("seal with the current key", RESEAL_MS, async (signal) => {
    const { rows, lost } = await reseal(sealer, [webhookSecrets(work.manager)], signal);
    if (lost.length > 0) log.warn({ lost }, "sealed with an encryption key that is not configured");
    counts.resealed += rows;
    if (rows > 0) log.info({ rows }, "sealed with the current encryption key");
  });
  const store = new PostgresAlertStore(work, changeLog, clockOffsetMs);
  return alertRoute({ mirror, store, limits, sealer, insecure });
}
