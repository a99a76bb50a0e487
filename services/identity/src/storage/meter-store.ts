import type { Tx } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import { MAX_METERS, type Meter } from "../domain/meter.ts";
import type { MeterReads, MeterWrites } from "../domain/store.ts";
import { meterOf, meterRow, meterRows } from "./meter-row.ts";

/** Meters, read through one connection or transaction. */
export class MeterReader implements MeterReads {
  protected readonly manager: EntityManager;

  constructor(manager: EntityManager) {
    this.manager = manager;
  }

  async find(name: string): Promise<Meter | undefined> {
    const row = await this.manager.findOneBy(meterRows, { name });
    return row === null ? undefined : meterOf(row);
  }

  async list(): Promise<Meter[]> {
    const rows = await this.manager.find(meterRows, { order: { name: "ASC" }, take: MAX_METERS });
    return rows.map(meterOf);
  }
}

/** Meters in a change. Every write here puts itself on the change log. */
export class MeterWriter extends MeterReader implements MeterWrites {
  readonly #tx: Tx;

  constructor(tx: Tx) {
    super(tx.manager);
    this.#tx = tx;
  }

  async insert(meter: Meter): Promise<void> {
    this.#tx.changed("meter", meter.name);
    await this.manager.insert(meterRows, meterRow(meter));
  }
}
