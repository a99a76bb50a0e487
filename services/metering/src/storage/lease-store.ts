import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import type { DataSource, EntityManager } from "typeorm";
import type {
  LeaseStore,
  LeaseTx,
  Locks,
  MissingRows,
  RoundChanges,
  RoundNames,
  Stock,
  Survey,
} from "../domain/lease.ts";
import { asFailure } from "./as-failure.ts";
import type { ClockOffset } from "./clock.ts";
import { holderGate } from "./holder-gate.ts";
import { PlanLimits } from "./plan-limits.ts";
import { openShares, openWindows } from "./quota-windows.ts";
import { putRateStates } from "./rate-row.ts";
import { writeRound } from "./round-changes.ts";
import { lockRound, readRound } from "./round-stock.ts";
import { surveyRound } from "./round-survey.ts";

export class PostgresLeaseStore implements LeaseStore {
  readonly #manager: EntityManager;
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;
  readonly #plans: PlanLimits;

  constructor({ manager }: Pick<DataSource, "manager">, log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#manager = manager;
    this.#log = log;
    this.#offsetMs = offsetMs;
    this.#plans = new PlanLimits(log, offsetMs);
  }

  survey(names: RoundNames): Promise<Survey> {
    return asFailure(this.#plans.withPlans(() => surveyRound(this.#manager, names, this.#offsetMs())));
  }

  async open({ atMs, windows, shares, rates }: MissingRows): Promise<void> {
    const places = windows.map((place) => ({ ...place, atMs }));
    await asFailure(
      this.#log.commit(async ({ manager }) => {
        await openWindows(manager, places);
        await openShares(manager, shares, atMs);
        await putRateStates(manager, rates, { keep: true });
      }),
    );
  }

  async transact<T>(work: (tx: LeaseTx) => Promise<T>): Promise<T> {
    const { value } = await asFailure(
      this.#log.commit((tx) => work(new PostgresLeaseTx(tx, this.#offsetMs))),
    );
    return value;
  }
}

class PostgresLeaseTx implements LeaseTx {
  readonly #tx: Tx;
  readonly #offsetMs: ClockOffset;

  constructor(tx: Tx, offsetMs: ClockOffset) {
    this.#tx = tx;
    this.#offsetMs = offsetMs;
  }

  async lock(locks: Locks, known: Parameters<LeaseTx["lock"]>[1]): Promise<Stock> {
    await this.#tx.gate({ reliedOn: locks.holders.map(holderGate) });
    await lockRound(this.#tx.manager, locks);
    return readRound(this.#tx.manager, locks, known, this.#offsetMs());
  }

  write(changes: RoundChanges): Promise<void> {
    return writeRound(this.#tx.manager, changes);
  }
}
