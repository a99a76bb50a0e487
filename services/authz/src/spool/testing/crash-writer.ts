/**
 * A process to be killed: charges one unit a decision, as fast as it can, and prints how many decisions are recorded.
 * Arguments: directory, sync mode.
 */
import { writeSync } from "node:fs";
import { Spool } from "../spool.ts";
import type { SyncMode } from "../spool-options.ts";

const [directory, sync] = process.argv.slice(2) as [string, SyncMode];
const log = { info() {}, warn: console.error, error: console.error };
const spool = await Spool.open({ directory, producer: "authz-1", sync, log, sealEveryMs: 20 });
const series = spool.series({
  ...{ keyId: "key_1", accountId: "acc_1", meter: "requests", resource: "weather.read", outcome: "VALID" },
});
const leases = Array.from({ length: 3 }, (_, index) => spool.lease(`lea_${index}`));
for (const lease of leases) {
  spool.granted(lease);
}
let recorded = 0;

function turn(): void {
  for (let decision = 0; decision < 5; decision++) {
    spool.charge(series, 100, 1);
    for (const lease of leases) {
      spool.spend(lease, 1);
    }
    spool.whenWritten((error) => {
      if (error !== undefined) throw error;
      recorded++;
    });
  }
  spool.whenWritten(() => {
    // Synchronously: what stands in the pipe was recorded before the kill.
    writeSync(1, `${recorded}\n`);
    setImmediate(turn);
  });
}
turn();
