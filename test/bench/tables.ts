/** The reports as a person reads them. */
import type { BatchReport } from "./batch.ts";
import type { CachedReport } from "./cached.ts";
import type { ColdReport } from "./cold.ts";
import type { FloodReport } from "./flood.ts";
import { LATENCY_HEAD, type Latencies, latencyCells } from "./latencies.ts";
import type { RevocationReport } from "./revocation.ts";
import { heading, ROUND_HEAD, roundCells, table } from "./table.ts";
import type { VerifyReport } from "./verify.ts";
import type { WorkersReport } from "./workers.ts";

export function verifyTable({ settings, full, half }: VerifyReport): string {
  const each = (ratios: readonly number[]) => ratios.map((ratio) => ratio.toFixed(2)).join(" ");
  return [
    heading("Warm Verify beside a bare grpc-js echo of the same messages", settings),
    table(
      ["as many as 64 in flight allow", ...ROUND_HEAD],
      [
        ["echo", ...roundCells(full.echo)],
        ["verify", ...roundCells(full.verify)],
      ],
    ),
    `ratio ${full.ratio.toFixed(2)} (processor time, median of ${each(full.ratios)}), throughput ${full.throughputRatio.toFixed(2)}\n`,
    table(
      [`${half.perSecond} a second by the clock`, ...ROUND_HEAD],
      [
        ["echo", ...roundCells(half.echo)],
        ["verify", ...roundCells(half.verify)],
      ],
    ),
    `ratio ${half.ratio.toFixed(2)} (processor time, median of ${each(half.ratios)}), p50 ${half.p50Ratio.toFixed(2)} ×, p99 ${half.p99Ratio.toFixed(2)} × the echo's`,
  ].join("\n");
}

export function batchTable({ settings, batches, keysPerSecond, keysPerCoreSecond }: BatchReport): string {
  return [
    heading("BatchVerify", settings),
    table(["", ...ROUND_HEAD], [["batches", ...roundCells(batches)]]),
    `${keysPerSecond.toFixed(0)} keys/s; ${keysPerCoreSecond.toFixed(0)} for each second of a core`,
  ].join("\n");
}

export function cachedTable({ settings, sizes, evenRatio, zipfRatio }: CachedReport): string {
  return [
    heading("Warm Verify by the number of keys in the cache", settings),
    table(
      ["keys", "drawn", ...ROUND_HEAD, "bytes/key", "with leases"],
      sizes.flatMap(({ keys, even, zipf, bytesPerKey, bytesPerKeyWithLeases }) => [
        [
          String(keys),
          "evenly",
          ...roundCells(even),
          bytesPerKey.toFixed(0),
          bytesPerKeyWithLeases?.toFixed(0) ?? "-",
        ],
        [String(keys), "by Zipf", ...roundCells(zipf)],
      ]),
    ),
    `processor time a call, most keys to fewest: ${evenRatio.toFixed(2)} evenly, ${zipfRatio.toFixed(2)} by Zipf`,
  ].join("\n");
}

export function coldTable({ settings, each, alone, resolve, acquire, ...all }: ColdReport): string {
  const row = (name: string, of: Latencies) => [name, ...latencyCells(of)];
  return [
    heading("A fresh replica warming under load", settings),
    table(["", ...LATENCY_HEAD], [...each.map((one, i) => row(`replica ${i + 1}`, one)), row("median", all)]),
    `a request took identity ${resolve.meanMs.toFixed(1)} ms (${resolve.requests} requests), metering ${acquire.meanMs.toFixed(1)} ms (${acquire.requests})`,
    `cold keys one by one: ${alone.p50Ms.toFixed(1)} ms (most ${alone.maxMs.toFixed(1)}), ${alone.roundTrips.toFixed(2)} round trips`,
  ].join("\n");
}

export function workersTable({ settings, by }: WorkersReport): string {
  return [
    heading("Warm Verify by workers", settings),
    table(
      ["workers", "calls/s", "CPU µs/call", "cores busy", ...LATENCY_HEAD, "shares of the processes"],
      by.map(({ workers, callsPerSecond, cpuMicrosPerCall, coresBusy, shares, ...took }) => [
        String(workers),
        callsPerSecond,
        cpuMicrosPerCall.toFixed(1),
        coresBusy.toFixed(2),
        ...latencyCells(took),
        shares.map((share) => `${Math.round(share * 100)} %`).join(" "),
      ]),
    ),
  ].join("\n");
}

export function revocationTable({ settings, ...spreads }: RevocationReport): string {
  const row = (name: string, { p50Ms, p99Ms, maxMs }: RevocationReport["probe"]) => [
    name,
    p50Ms,
    p99Ms,
    maxMs,
  ];
  return [
    heading("From a revocation to the last replica's refusal", settings),
    table(
      ["", "p50 ms", "p99 ms", "most ms"],
      [
        row("from before it was sent", spreads.fromSending),
        row("from its answer", spreads.fromAnswer),
        row("RevokeKey itself", spreads.revoking),
        row("a probe", spreads.probe),
      ],
    ),
  ].join("\n");
}

export function floodTable(report: FloodReport): string {
  const { settings, warm, flood, rate, quiet, flooded, codes } = report;
  const caller = (name: string, of: FloodReport["quiet"]) => [name, ...latencyCells(of)];
  return [
    heading(`A flood of ${report.bench} keys`, settings),
    table(
      ["", ...ROUND_HEAD],
      [
        ["warm", ...roundCells(warm)],
        [report.bench, ...roundCells(flood)],
      ],
    ),
    `rate ${rate.toFixed(2)} × the warm one\n`,
    table(
      ["a caller by the clock", ...LATENCY_HEAD],
      [caller("without the flood", quiet), caller("with it", flooded)],
    ),
    `answered ${Object.entries(codes)
      .map(([code, count]) => `${code} ${count}`)
      .join(", ")}`,
    `${report.floodCalls} calls of the flood: ${report.requestsToIdentity} requests to identity, ${report.queries} scans of its keys`,
    `memory ${report.megabytesBefore.toFixed(0)} MB before, ${report.megabytesAfter.toFixed(0)} MB after`,
  ].join("\n");
}
