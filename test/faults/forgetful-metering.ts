/** metering that takes whatever is said again for something new: the mechanism off, for a negative control. */
import type { MoneyTx } from "../../services/metering/src/domain/money-loop.ts";
import type { ReportTx } from "../../services/metering/src/domain/report-store.ts";
import { PostgresMoneyStore } from "../../services/metering/src/storage/money-store.ts";
import { PostgresReportStore } from "../../services/metering/src/storage/report-store.ts";

for (const { prototype } of [PostgresMoneyStore, PostgresReportStore]) {
  const whole = prototype.transact as (
    work: (tx: MoneyTx | ReportTx) => Promise<unknown>,
  ) => Promise<unknown>;
  const forgetful = function (this: object, work: (tx: object) => Promise<unknown>) {
    return whole.call(this, (tx) => work(Object.assign(tx, { claim: async () => new Map() })));
  };
  Object.assign(prototype, { transact: forgetful });
}

await import("../../services/metering/src/main.ts");
