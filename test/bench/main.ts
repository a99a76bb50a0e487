/** npm run bench -- <name> [--json] */
import { benchIdentity, identityTable } from "./identity.ts";
import { benchVerify, type VerifyReport } from "./verify.ts";

const [name, ...flags] = process.argv.slice(2);
const benches: Readonly<Record<string, () => Promise<{ report: object; text: string }>>> = {
  async verify() {
    const report = await benchVerify();
    return { report, text: table(report) };
  },
  async identity() {
    // Fewer keys to see that it works; published numbers are of a million.
    const keys = Number(process.env.BENCH_KEYS ?? 1_000_000);
    const report = await benchIdentity({ keys, accounts: Math.ceil(keys / 100) });
    return { report, text: identityTable(report) };
  },
};
const bench = benches[name ?? ""];
if (bench === undefined || flags.some((flag) => flag !== "--json")) {
  console.error(`usage: npm run bench -- ${Object.keys(benches).join("|")} [--json]`);
  process.exit(2);
}
const { report, text } = await bench();
console.log(flags.includes("--json") ? JSON.stringify(report, null, 2) : text);

function table({ ratio, throughputRatio, settings, echo, verify, ratios }: VerifyReport): string {
  const rows = { echo, verify };
  const lines = Object.entries(rows).map(([server, round]) =>
    [
      server.padEnd(8),
      round.callsPerSecond.toFixed(0).padStart(10),
      round.cpuMicrosPerCall.toFixed(1).padStart(12),
      `${(round.coreBusy * 100).toFixed(0)} %`.padStart(10),
      ...[round.p50Us, round.p99Us, round.p999Us].map((us) => us.toFixed(0).padStart(9)),
    ].join(" "),
  );
  return [
    `Warm Verify beside a bare grpc-js echo of the same messages (${Object.entries(settings)
      .map(([k, v]) => `${k} ${v}`)
      .join(", ")})`,
    "",
    "server      calls/s  CPU µs/call  core busy   p50 µs    p99 µs  p99.9 µs",
    ...lines,
    "",
    `ratio ${ratio.toFixed(2)} (processor time, median of ${ratios.map((each) => each.toFixed(2)).join(" ")}), throughput ${throughputRatio.toFixed(2)}`,
  ].join("\n");
}
