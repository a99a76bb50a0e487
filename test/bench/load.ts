/**
 * A load generator: sends unary gRPC calls over one HTTP/2 connection, so many in flight, for so long, and
 * prints what it saw as JSON. A process of its own, so that it can sit on a core of its own.
 *
 * node load.ts <address> <path> <file of base64 messages, one a line> <in flight> <seconds> [<authorization>]
 */
import { readFileSync } from "node:fs";
import { connect } from "node:http2";

const [address, path, file, inFlight, seconds, authorization] = process.argv.slice(2);
const frames = readFileSync(file!, "utf8")
  .trim()
  .split("\n")
  .map((line) => {
    const message = Buffer.from(line, "base64");
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
  });
const headers = {
  ":method": "POST",
  ":path": path!,
  "content-type": "application/grpc",
  te: "trailers",
  ...(authorization && { authorization }),
};
const session = connect(`http://${address}`);
const latenciesUs: number[] = [];
const endMs = performance.now() + Number(seconds) * 1000;
const startMs = performance.now();
let next = 0;
let running = 0;
let failed = 0;

function call(): void {
  if (performance.now() >= endMs) {
    if (running === 0) finish();
    return;
  }
  running++;
  const sentMs = performance.now();
  const stream = session.request(headers);
  let bytes = 0;
  stream.on("response", (response) => {
    if (response["grpc-status"] !== undefined && response["grpc-status"] !== "0") failed++;
  });
  stream.on("trailers", (trailers) => {
    if (trailers["grpc-status"] !== "0") failed++;
  });
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  stream.on("error", () => {
    failed++;
  });
  stream.on("close", () => {
    if (bytes === 0) failed++;
    running--;
    latenciesUs.push(Math.round((performance.now() - sentMs) * 1000));
    call();
  });
  stream.end(frames[next++ % frames.length]);
}

function finish(): void {
  session.close();
  latenciesUs.sort((a, b) => a - b);
  const at = (share: number) =>
    latenciesUs[Math.min(Math.floor(latenciesUs.length * share), latenciesUs.length - 1)];
  const elapsedSeconds = (performance.now() - startMs) / 1000;
  const calls = latenciesUs.length;
  const report = { calls, failed, elapsedSeconds, p50Us: at(0.5), p99Us: at(0.99), p999Us: at(0.999) };
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

session.on("connect", () => {
  for (let i = 0; i < Number(inFlight); i++) call();
});
