import { EntitySchema } from "typeorm";
import type { Meter } from "../domain/meter.ts";

/** A row of `meter`. */
export interface MeterRow {
  name: string;
  title: string;
  unit: string;
  created_at: Date;
}

export const meterRows = new EntitySchema<MeterRow>({
  name: "meter",
  columns: {
    name: { type: "text", primary: true },
    title: { type: "text" },
    unit: { type: "text" },
    created_at: { type: "timestamptz" },
  },
});

export function meterOf(row: MeterRow): Meter {
  return { name: row.name, title: row.title, unit: row.unit, createdAt: row.created_at };
}

export function meterRow(meter: Meter): MeterRow {
  return { name: meter.name, title: meter.title, unit: meter.unit, created_at: meter.createdAt };
}
