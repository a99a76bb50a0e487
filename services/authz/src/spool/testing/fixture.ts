import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { UsageBatchSchema } from "@gatehouse/proto/metering";
import { onTestFinished } from "vitest";
import type { SeriesName } from "../../domain/journal.ts";
import type { Aggregate } from "../aggregate.ts";
import type { Epoch } from "../epoch.ts";
import type { Series } from "../series.ts";
import { Spool } from "../spool.ts";
import type { SpoolLog } from "../spool-log.ts";
import type { SpoolOptions } from "../spool-options.ts";

/** Long enough that only what a test does seals a segment. */
export const NEVER_MS = 1_000_000_000;

export const silent: SpoolLog = { info() {}, warn() {}, error() {} };

/** A log that remembers its errors. */
export function errorLog(): SpoolLog & { readonly errors: readonly string[] } {
  const errors: string[] = [];
  return { ...silent, errors, error: (_: object, message: string) => void errors.push(message) };
}

/** A directory that is gone after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-spool-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The files of a process that died: a copy of what it had written. */
export function filesAtDeath(from: string, to: string): void {
  cpSync(from, to, { recursive: true, filter: (path) => !path.includes("lock.db") });
}

/** A spool that seals only when it is told to, and is stopped after the test. */
export async function openSpool(options: Partial<SpoolOptions> & { directory: string }): Promise<Spool> {
  const defaults = { producer: "authz-1", sync: "cache", log: silent, sealEveryMs: NEVER_MS } as const;
  const spool = await Spool.open({ ...defaults, ...options });
  onTestFinished(() => spool.stop());
  return spool;
}

/** A handle of one key's requests, but for what is said. */
export function seriesIn(spool: Spool, name: Partial<SeriesName> = {}): Series {
  const requests = { keyId: "key_1", accountId: "acc_1", meter: "requests", resource: "", outcome: "VALID" };
  return spool.series({ ...requests, ...name });
}

/** Ends a decision and waits for its write; rejects if it failed. */
export function written(spool: Spool): Promise<void> {
  return new Promise((resolve, reject) => {
    spool.whenWritten((error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Which of an epoch's batches, from 1, say that it has ended. */
export async function finalOf(epoch: Epoch): Promise<number[]> {
  const finals: number[] = [];
  for (let sequence = 1; sequence <= epoch.lastSequence; sequence++) {
    const batch = await epoch.read(sequence);
    if (batch !== undefined && fromBinary(UsageBatchSchema, batch.payload).final) finals.push(sequence);
  }
  return finals;
}

/** Units by `minute/key/account/meter/resource/outcome`, and by lease; `closed` in order. */
export interface Totals {
  readonly usage: Record<string, number>;
  readonly spent: Record<string, number>;
  readonly closed: string[];
}

/** What UsageBatch payloads say together, by the generated decoder. */
export function totalsOf(payloads: Iterable<Uint8Array>): Totals {
  const totals: Totals = { usage: {}, spent: {}, closed: [] };
  for (const payload of payloads) {
    const batch = fromBinary(UsageBatchSchema, payload);
    for (const row of batch.usage) {
      const { minute, keyId, accountId, meter, resource, outcome } = row;
      add(totals.usage, [minute, keyId, accountId, meter, resource, outcome].join("/"), Number(row.units));
    }
    for (const { leaseId, spent, closed } of batch.leases) {
      add(totals.spent, leaseId, Number(spent));
      if (closed) {
        totals.closed.push(leaseId);
      }
    }
  }
  return totals;
}

export function totalsOfAggregate(aggregate: Aggregate): Totals {
  return totalsOf([aggregate.encode()]);
}

/** The payloads that wait in a spool, oldest epoch first. */
export async function payloadsOf(spool: Spool): Promise<Buffer[]> {
  const payloads: Buffer[] = [];
  for (const epoch of spool.backlog.epochs) {
    for (const { sequence } of epoch.pending) {
      payloads.push((await epoch.read(sequence))!.payload);
    }
  }
  return payloads;
}

function add(totals: Record<string, number>, name: string, units: number): void {
  totals[name] = (totals[name] ?? 0) + units;
}
