/** npm run bench -- <name> [--json] */
import { benchVerify, type VerifyReport } from "./verify.ts";

const [name, ...flags] = process.argv.slice(2);
if (name !== "verify" || flags.some((flag) => flag !== "--json")) {
  console.error("usage: npm run bench -- verify [--json]");
  process.exit(2);
}
const report = await benchVerify();
console.log(flags.includes("--json") ? JSON.stringify(report, null, 2) : table(report));

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
