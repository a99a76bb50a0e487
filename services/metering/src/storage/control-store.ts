import type { RateState } from "@gatehouse/buckets";
import type { ChangeLog } from "@gatehouse/changefeed";
import type { DataSource, EntityManager } from "typeorm";
import type { ControlStore, ControlTx } from "../domain/control-rates.ts";
import type { Limit } from "../domain/limit.ts";
import { type ClockOffset, readNowMs } from "./clock.ts";
import { type LimitRow, limitColumns, limitOf } from "./limit-row.ts";
import { lockRates, writeRates } from "./rate-states.ts";

export class PostgresControlStore implements ControlStore {
  readonly #dataSource: DataSource;
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(dataSource: DataSource, log: ChangeLog, offsetMs: ClockOffset) {
    this.#dataSource = dataSource;
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  async controlLimits(nodeIds: readonly string[]): Promise<Limit[]> {
    const rows = await this.#dataSource.query<LimitRow[]>(
      `SELECT ${limitColumns} FROM node_limit l
       WHERE l.node_id = ANY($1) AND starts_with(l.resource, 'gatehouse.') ORDER BY l.id`,
      [nodeIds],
    );
    return rows.map(limitOf);
  }

  async charge<T>(work: (tx: ControlTx) => Promise<T>): Promise<T> {
    const { value } = await this.#log.commit(({ manager }) =>
      work(new PostgresControlTx(manager, this.#offsetMs)),
    );
    return value;
  }
}

class PostgresControlTx implements ControlTx {
  readonly #manager: EntityManager;
  readonly #offsetMs: ClockOffset;

  constructor(manager: EntityManager, offsetMs: ClockOffset) {
    this.#manager = manager;
    this.#offsetMs = offsetMs;
  }

  nowMs(): Promise<number> {
    return readNowMs(this.#manager, this.#offsetMs);
  }

  lockRates(limitIds: readonly string[]): Promise<Map<string, RateState>> {
    return lockRates(this.#manager, limitIds);
  }

  writeRates(states: ReadonlyMap<string, RateState>): Promise<void> {
    return writeRates(this.#manager, states);
  }
}
