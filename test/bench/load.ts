/**
 * A load generator: sends unary gRPC calls over one HTTP/2 connection, so many in flight, for so long, and
 * prints what it saw as JSON. A process of its own, so that it can sit on a core of its own; and it writes its
 * frames itself (RFC 9113), because a full client costs as much per call as the server that is measured, and
 * would then be what is measured.
 *
 * With a rate, calls begin when they are due and not when others end, and their latency counts from then: a server
 * that stalls is not asked less for it, and the calls that it kept waiting show.
 *
 * node load.ts '<the options below as JSON>'
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { type Latencies, latenciesOf } from "./latencies.ts";

export interface LoadOptions {
  readonly address: string;
  /** The RPC's. */
  readonly path: string;
  /** Messages in base64, one a line; sent in turn. */
  readonly file: string;
  /** At most. */
  readonly inFlight: number;
  /** Until then, or until so many calls were sent. */
  readonly seconds?: number | undefined;
  readonly calls?: number | undefined;
  readonly authorization: string;
  /** Calls a second; without it, as many as `inFlight` allows. */
  readonly perSecond?: number | undefined;
}

export interface LoadReport extends Latencies {
  readonly calls: number;
  /** How many answers there were of each decision code, the first field of a VerifyResponse; 0 for any other answer. */
  readonly codes: Readonly<Record<number, number>>;
  readonly elapsedSeconds: number;
}

const options: LoadOptions = JSON.parse(process.argv[2]!);
const { address, path, file, inFlight, authorization, perSecond } = options;
const { seconds = Number.POSITIVE_INFINITY, calls: most = Number.POSITIVE_INFINITY } = options;

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
const FIRST_WINDOW = 65_535;
const GRPC_PREFIX_BYTES = 5;
/** The tag of field 1 as a number, which VerifyResponse.code is. */
const CODE_TAG = 0x08;
/** How often an open loop looks which calls are due. */
const TICK_MS = 1;

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
    text(path),
    Buffer.from([0x01]),
    text(address),
    literal("content-type", "application/grpc"),
    literal("te", "trailers"),
    literal("authorization", authorization),
  ]);
}

const block = headerBlock();
/** Each message as the frames of a call; the stream's number is written in when it is sent. */
const calls = readFileSync(file, "utf8")
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
      dataBytes: prefix.length + message.length,
    };
  });

const sentMs = new Map<number, number>();
const latenciesUs: number[] = [];
const codes: Record<number, number> = {};
/** By stream, of answers that have begun. */
const codeOf = new Map<number, number>();
const [host, port] = address.split(":");
const socket = connect(Number(port), host).setNoDelay(true);
const startMs = performance.now();
const endMs = startMs + seconds * 1000;
let nextStream = 1;
let nextCall = 0;
/** Bytes of messages that the server will take now, of all calls together; each alone is smaller than what it takes. */
let window = FIRST_WINDOW;
let pending: Buffer = Buffer.alloc(0);
let outgoing: Buffer[] = [];

function send(dueMs: number): void {
  const { bytes, headers, dataBytes } = calls[nextCall++ % calls.length]!;
  window -= dataBytes;
  const call = Buffer.from(bytes);
  call.writeUInt32BE(nextStream, 5);
  call.writeUInt32BE(nextStream, headers.length + 5);
  sentMs.set(nextStream, dueMs);
  nextStream += 2;
  outgoing.push(call);
}

function isOver(nowMs: number): boolean {
  return nowMs >= endMs || nextCall >= most;
}

/** Sends what is due and has room: in a closed loop that is as much as has room. */
function sendDue(): void {
  const nowMs = performance.now();
  while (sentMs.size < inFlight && !isOver(nowMs)) {
    if (calls[nextCall % calls.length]!.dataBytes > window) return;
    const dueMs = perSecond === undefined ? nowMs : startMs + (nextCall * 1000) / perSecond;
    if (dueMs > nowMs) return;
    send(dueMs);
  }
}

function receive(type: number, flags: number, stream: number, payload: Buffer): void {
  if (type === SETTINGS && (flags & ACK) === 0) outgoing.push(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
  if (type === PING && (flags & ACK) === 0) outgoing.push(frame(PING, ACK, 0, payload));
  if (type === WINDOW_UPDATE && stream === 0) {
    window += payload.readUInt32BE(0);
    sendDue();
  }
  if (type === GOAWAY) throw new Error("the server closed the connection");
  // A long answer comes in several frames: its first says the code.
  if (type === DATA && payload.length > GRPC_PREFIX_BYTES + 1 && !codeOf.has(stream)) {
    codeOf.set(stream, payload[GRPC_PREFIX_BYTES] === CODE_TAG ? payload[GRPC_PREFIX_BYTES + 1]! : 0);
  }
  if (type === HEADERS && (flags & END_STREAM) !== 0) {
    const code = codeOf.get(stream);
    if (code !== undefined) codes[code] = (codes[code] ?? 0) + 1;
    codeOf.delete(stream);
    latenciesUs.push(Math.round((performance.now() - sentMs.get(stream)!) * 1000));
    sentMs.delete(stream);
    sendDue();
    if (sentMs.size === 0 && isOver(performance.now())) finish();
  }
}

socket.on("connect", () => {
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(4, 0); // SETTINGS_INITIAL_WINDOW_SIZE
  settings.writeUInt32BE(LARGEST_WINDOW, 2);
  const window = Buffer.alloc(4);
  window.writeUInt32BE(LARGEST_WINDOW - FIRST_WINDOW, 0);
  outgoing.push(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  outgoing.push(frame(SETTINGS, 0, 0, settings), frame(WINDOW_UPDATE, 0, 0, window));
  sendDue();
  flush();
  if (perSecond !== undefined) setInterval(tick, TICK_MS);
});

function tick(): void {
  sendDue();
  flush();
  if (sentMs.size === 0 && isOver(performance.now())) finish();
}

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
  const elapsedSeconds = (performance.now() - startMs) / 1000;
  const report: LoadReport = {
    calls: latenciesUs.length,
    codes,
    elapsedSeconds,
    ...latenciesOf(latenciesUs),
  };
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
}
