import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** A span as an OTLP endpoint got it. */
export interface ReceivedSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: "internal" | "server" | "client";
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** The ids of the spans that it is linked to. */
  readonly links: readonly string[];
  /** Undefined where it did not fail. */
  readonly failure: string | undefined;
}

/** An OTLP/HTTP endpoint of a test: takes protobuf on a free port of loopback, and keeps all spans. */
export class TraceReceiver {
  readonly spans: ReceivedSpan[] = [];
  /** Everything that came, as it came: to look for what must not be in it. */
  readonly bodies: Buffer[] = [];
  /** Of each request. */
  readonly headers: IncomingHttpHeaders[] = [];
  readonly #server: Server;
  /** Where it does not answer: what a collector does that hangs. */
  isHung = false;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      if (this.isHung) return;
      const body = Buffer.concat(chunks);
      this.bodies.push(body);
      this.headers.push(request.headers);
      this.spans.push(...spansOf(body));
      response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    });
  }

  static async start(): Promise<TraceReceiver> {
    const receiver = new TraceReceiver();
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1/traces`;
  }

  /** The spans below one, at any depth. */
  below({ spanId }: ReceivedSpan): readonly ReceivedSpan[] {
    const children = this.spans.filter(({ parentSpanId }) => parentSpanId === spanId);
    return [...children, ...children.flatMap((child) => this.below(child))];
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

// Field numbers of opentelemetry/proto/collector/trace/v1/trace_service.proto and what it imports.
function spansOf(request: Uint8Array): ReceivedSpan[] {
  return messages(request, 1).flatMap((resourceSpans) => {
    const attributes = attributesOf(messages(resourceSpans, 1)[0] ?? new Uint8Array(), 1);
    const service = String(attributes["service.name"]);
    return messages(resourceSpans, 2).flatMap((scopeSpans) =>
      messages(scopeSpans, 2).map((span) => spanOf(span, service)),
    );
  });
}

const KINDS: Readonly<Record<number, ReceivedSpan["kind"]>> = { 1: "internal", 2: "server", 3: "client" };
const FAILED = 2;

function spanOf(span: Uint8Array, service: string): ReceivedSpan {
  const status = messages(span, 15)[0] ?? new Uint8Array();
  return {
    service,
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parentSpanId: hex(span, 4),
    name: text(messages(span, 5)[0]),
    kind: KINDS[Number(fields(span).get(6)?.[0])]!,
    attributes: attributesOf(span, 9),
    links: messages(span, 13).map((link) => hex(link, 2)),
    failure: Number(fields(status).get(3)?.[0]) === FAILED ? text(messages(status, 2)[0]) : undefined,
  };
}

function attributesOf(message: Uint8Array, no: number): Record<string, string | number | boolean> {
  return Object.fromEntries(
    messages(message, no).map((pair) => {
      const value = fields(messages(pair, 2)[0]!);
      const string = value.get(1)?.[0];
      if (string !== undefined) return [text(messages(pair, 1)[0]), text(string as Uint8Array)];
      const flag = value.get(2)?.[0];
      return [
        text(messages(pair, 1)[0]),
        flag === undefined ? Number(value.get(3)?.[0]) : Number(flag) === 1,
      ];
    }),
  );
}

/** The values of a message by field number: bytes, or numbers. */
function fields(message: Uint8Array): Map<number, (Uint8Array | bigint)[]> {
  const reader = new BinaryReader(message);
  const found = new Map<number, (Uint8Array | bigint)[]>();
  while (reader.pos < reader.len) {
    const [no, type] = reader.tag();
    const values = found.get(no) ?? [];
    found.set(no, values);
    if (type === WireType.LengthDelimited) values.push(reader.bytes());
    else if (type === WireType.Varint) values.push(BigInt(reader.uint64()));
    else reader.skip(type, no);
  }
  return found;
}

function messages(message: Uint8Array, no: number): Uint8Array[] {
  return (fields(message).get(no) ?? []) as Uint8Array[];
}

function hex(message: Uint8Array, no: number): string {
  return Buffer.from(messages(message, no)[0] ?? []).toString("hex");
}

function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString();
}
