/**
 * A load generator: sends unary gRPC calls over one HTTP/2 connection, so many in flight, for so long, and
 * prints what it saw as JSON. A process of its own, so that it can sit on a core of its own; and it writes its
 * frames itself (RFC 9113), because a full client costs as much per call as the server that is measured, and
 * would then be what is measured.
 *
 * node load.ts <address> <path> <file of base64 messages, one a line> <in flight> <seconds> <authorization>
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";

const [address, path, file, inFlight, seconds, authorization] = process.argv.slice(2) as string[];

const DATA = 0;
const HEADERS = 1;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const FRAME_HEADER_BYTES = 9;
const LARGEST_WINDOW = 2 ** 31 - 1;
/** A gRPC message of which the first field is VerifyResponse.code = VALID. */
const GRPC_PREFIX_BYTES = 5;
const VALID = 0x0801;

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

// Literals without indexing (RFC 7541, 6.2.2): the same bytes for every call.
function headerBlock(): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const literal = (name: string, value: string) => Buffer.concat([Buffer.from([0]), text(name), text(value)]);
  const post = 0x83;
  const http = 0x86;
  return Buffer.concat([
    Buffer.from([post, http, 0x04]),
    text(path!),
    Buffer.from([0x01]),
    text(address!),
    literal("content-type", "application/grpc"),
    literal("te", "trailers"),
    literal("authorization", authorization!),
  ]);
}

const block = headerBlock();
/** Each message as the frames of a call; the stream's number is written in when it is sent. */
const calls = readFileSync(file!, "utf8")
  .trim()
  .split("\n")
  .map((line) => {
    const message = Buffer.from(line, "base64");
    const prefix = Buffer.alloc(GRPC_PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    const headers = frame(HEADERS, END_HEADERS, 0, block);
    return {
      bytes: Buffer.concat([headers, frame(DATA, END_STREAM, 0, Buffer.concat([prefix, message]))]),
      headers,
    };
  });

const sentMs = new Map<number, number>();
const latenciesUs: number[] = [];
const [host, port] = address!.split(":");
const socket = connect(Number(port), host).setNoDelay(true);
const startMs = performance.now();
const endMs = startMs + Number(seconds) * 1000;
let nextStream = 1;
let nextCall = 0;
let failed = 0;
let pending: Buffer = Buffer.alloc(0);
let outgoing: Buffer[] = [];

function send(): void {
  if (performance.now() >= endMs) return;
  const { bytes, headers } = calls[nextCall++ % calls.length]!;
  const call = Buffer.from(bytes);
  call.writeUInt32BE(nextStream, 5);
  call.writeUInt32BE(nextStream, headers.length + 5);
  sentMs.set(nextStream, performance.now());
  nextStream += 2;
  outgoing.push(call);
}

function receive(type: number, flags: number, stream: number, payload: Buffer): void {
  if (type === SETTINGS && (flags & ACK) === 0) outgoing.push(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
  if (type === PING && (flags & ACK) === 0) outgoing.push(frame(PING, ACK, 0, payload));
  if (type === GOAWAY) throw new Error("the server closed the connection");
  if (
    type === DATA &&
    payload.length > GRPC_PREFIX_BYTES &&
    payload.readUInt16BE(GRPC_PREFIX_BYTES) !== VALID
  ) {
    failed++;
  }
  if (type === HEADERS && (flags & END_STREAM) !== 0) {
    latenciesUs.push(Math.round((performance.now() - sentMs.get(stream)!) * 1000));
    sentMs.delete(stream);
    send();
    if (sentMs.size === 0) finish();
  }
}

socket.on("connect", () => {
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(4, 0); // SETTINGS_INITIAL_WINDOW_SIZE
  settings.writeUInt32BE(LARGEST_WINDOW, 2);
  const window = Buffer.alloc(4);
  window.writeUInt32BE(LARGEST_WINDOW - 65_535, 0);
  outgoing.push(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  outgoing.push(frame(SETTINGS, 0, 0, settings), frame(WINDOW_UPDATE, 0, 0, window));
  for (let i = 0; i < Number(inFlight); i++) send();
  flush();
});

socket.on("data", (chunk: Buffer) => {
  pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
  let at = 0;
  while (pending.length - at >= FRAME_HEADER_BYTES) {
    const length = pending.readUIntBE(at, 3);
    const end = at + FRAME_HEADER_BYTES + length;
    if (end > pending.length) break;
    const stream = pending.readUInt32BE(at + 5);
    receive(pending[at + 3]!, pending[at + 4]!, stream, pending.subarray(at + FRAME_HEADER_BYTES, end));
    at = end;
  }
  pending = pending.subarray(at);
  flush();
});

function flush(): void {
  if (outgoing.length > 0) socket.write(Buffer.concat(outgoing));
  outgoing = [];
}

function finish(): void {
  socket.end();
  latenciesUs.sort((a, b) => a - b);
  const at = (share: number) => latenciesUs[Math.floor((latenciesUs.length - 1) * share)];
  const elapsedSeconds = (performance.now() - startMs) / 1000;
  const report = {
    calls: latenciesUs.length,
    failed,
    elapsedSeconds,
    p50Us: at(0.5),
    p99Us: at(0.99),
    p999Us: at(0.999),
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
