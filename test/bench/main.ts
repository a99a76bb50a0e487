/** npm run bench -- <name> [--json] */
import { benchBatch } from "./batch.ts";
import { benchCached } from "./cached.ts";
import { benchCold } from "./cold.ts";
import { benchFlood, type Flood } from "./flood.ts";
import { benchGrowth, growthTable } from "./growth.ts";
import { benchHolders, holdersTable } from "./holders.ts";
import { benchIdentity, identityTable } from "./identity.ts";
import { benchIngest, ingestTable } from "./ingest.ts";
import { benchReport, reportTable } from "./report.ts";
import { benchRevocation } from "./revocation.ts";
import {
  batchTable,
  cachedTable,
  coldTable,
  floodTable,
  revocationTable,
  verifyTable,
  workersTable,
} from "./tables.ts";
import { benchTransfers, transfersTable } from "./transfers.ts";
import { benchUsage, usageTable } from "./usage.ts";
import { benchVerify } from "./verify.ts";
import { benchWorkers } from "./workers.ts";

/** Runs a bench; answers its report, and the report as text. */
type Bench = () => Promise<{ report: object; text: string }>;

const [name, ...flags] = process.argv.slice(2);
// Fewer keys to see that it works; published numbers are of a million.
const mostKeys = Number(process.env.BENCH_KEYS ?? 1_000_000);
const benches: Readonly<Record<string, Bench>> = {
  verify: bench(benchVerify, verifyTable),
  batch: bench(benchBatch, batchTable),
  cached: bench(() => benchCached({ mostKeys }), cachedTable),
  cold: bench(benchCold, coldTable),
  revocation: bench(benchRevocation, revocationTable),
  forged: bench(flood("forged"), floodTable),
  unknown: bench(flood("unknown"), floodTable),
  imported: bench(flood("imported"), floodTable),
  workers: bench(benchWorkers, workersTable),
  transfers: bench(benchTransfers, transfersTable),
  report: bench(() => benchReport(mostKeys), reportTable),
  ingest: bench(benchIngest, ingestTable),
  usage: bench(benchUsage, usageTable),
  holders: bench(benchHolders, holdersTable),
  growth: bench(() => benchGrowth({ mostKeys }), growthTable),
  identity: bench(
    () => benchIdentity({ keys: mostKeys, accounts: Math.ceil(mostKeys / 100) }),
    identityTable,
  ),
};

function bench<T extends object>(run: () => Promise<T>, text: (report: T) => string): Bench {
  return async () => {
    const report = await run();
    return { report, text: text(report) };
  };
}

function flood(kind: Flood) {
  return () => benchFlood(kind);
}

const chosen = benches[name ?? ""];
if (chosen === undefined || flags.some((flag) => flag !== "--json")) {
  console.error(`usage: npm run bench -- ${Object.keys(benches).join("|")} [--json]`);
  process.exit(2);
}
const { report, text } = await chosen();
console.log(flags.includes("--json") ? JSON.stringify(report, null, 2) : text);
