import { once } from "node:events";
import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type MethodDefinition,
  Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { noRoom, type Room } from "./call-room.ts";
import { answerable, grpcError, type ReportFault } from "./error-wire.ts";
import { invalid } from "./failure.ts";
import { GrpcCall, type GrpcServerCall, type PeerCertificates } from "./grpc-call.ts";
import { GrpcListener } from "./grpc-listener.ts";
import { guardedStream, guardedUnary, type Route } from "./handlers.ts";
import { Health } from "./health.ts";
import { REQUEST_BYTES_MAX } from "./limits.ts";
import type { ObserveCall } from "./metrics.ts";
import { addReflection } from "./reflection.ts";
import type { ServerTls } from "./tls.ts";
import type { TransportOptions } from "./transport.ts";

const SERVER_OPTIONS = {
  "grpc.max_receive_message_length": REQUEST_BYTES_MAX,
  // Per connection; more wait in the client. Clients with more to do than this should open another connection.
  "grpc.max_concurrent_streams": 1000,
  // A peer that vanished without a FIN is noticed within 40 s, so that its streams do not pile up.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // What a client does not read, in MB for each connection: at this much, new streams of it are refused. A page of
  // keys is 1 MB; a stream of an export waits for its client at 64 kB.
  "grpc-node.max_session_memory": 64,
  // Bookkeeping for a debugging service that we do not serve.
  "grpc.enable_channelz": 0,
};

/** The gRPC side of a service: its routes, health and reflection. */
export interface GrpcTransport {
  /** Binds and returns the port, chosen by the system where `port` is 0. Rejects where it is taken. */
  listen(host: string, port: number): Promise<number>;
  setServing(serving: boolean): void;
  /** Refuses new calls, lets running ones finish for `graceMs`, then cuts them. */
  close(graceMs: number): Promise<void>;
}

/** Mounts routes on grpc-js. Throws where a guard refuses an RPC or one has no access rule. */
export function grpcTransport<P>(options: TransportOptions<P>, tls: ServerTls | undefined): GrpcTransport {
  const server = new Server(SERVER_OPTIONS);
  const listener = new GrpcListener(server, tls, options.maxConnections);
  const mounting = { ...options, certificates: listener.certificates };
  const roomOf = options.room.door();
  const health = new Health(options.routes.map(({ service }) => service.typeName));
  for (const route of options.routes) {
    const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
    const implementation: UntypedServiceImplementation = {};
    for (const method of route.service.methods) {
      definition[method.localName] = rawDefinition(method);
      implementation[method.localName] =
        method.methodKind === "unary"
          ? mountUnary(route, method, mounting, roomOf(method))
          : mountStream(route, method, mounting, roomOf(method));
    }
    server.addService(definition as ServiceDefinition, implementation);
  }
  health.addToServer(server);
  addReflection(
    server,
    options.routes.map(({ service }) => service),
  );
  return {
    listen: (host, port) => listener.listen(host, port),
    setServing: (serving) => health.setServing(serving),
    close: (graceMs) => {
      health.setServing(false);
      health.endWatches();
      return listener.close(graceMs);
    },
  };
}

// Made once: a refusal must cost less than the call that it refuses.
const refusal = Object.assign(new Error(noRoom.message), grpcError(noRoom));

// grpc-js answers messages that do not parse, and replies that do not serialize, with texts of its own. It
// gets bytes in and out, and coding happens here.
function rawDefinition(method: DescMethod): MethodDefinition<Buffer, Buffer> {
  const asIs = (bytes: Buffer) => bytes;
  return {
    path: grpcPath(method),
    requestStream: false,
    responseStream: method.methodKind === "server_streaming",
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

/** The HTTP/2 path of an RPC. */
export function grpcPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

type Mounting<P> = TransportOptions<P> & { readonly certificates: PeerCertificates };

function mountUnary<P>(route: Route<P>, method: DescMethod, options: Mounting<P>, room: Room) {
  const run = guardedUnary(route, method, options.guard);
  const write = writerOf(route, method);
  const observe = options.metrics.observer(method);
  const beginSpan = options.tracing?.calls(method, "grpc");
  return (raw: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
    const requestBytes = raw.request.length;
    if (!room.enter(requestBytes)) {
      observe(status.RESOURCE_EXHAUSTED, 0);
      callback(refusal);
      return;
    }
    const startedMs = performance.now();
    const call = new GrpcCall(
      method,
      options.draining,
      raw,
      options.certificates,
      beginSpan?.(traceparentOf(raw)),
    );

    function done(error: unknown, value?: object): void {
      room.leave(requestBytes);
      let reply: Buffer;
      try {
        if (error !== undefined && error !== null) {
          throw error;
        }
        reply = write(value!);
      } catch (thrown) {
        const failure = answerable(thrown, options.report, call.trace);
        observe(status[failure.code], performance.now() - startedMs, call.trace);
        call.sendHeaders();
        callback(grpcError(failure));
        return;
      }
      observe(status.OK, performance.now() - startedMs, call.trace);
      call.sendHeaders();
      callback(null, reply);
    }

    let request: Message;
    try {
      request = decode(method.input, raw.request);
    } catch (error) {
      done(error);
      return;
    }
    run(request, call, done);
  };
}

function mountStream<P>(route: Route<P>, method: DescMethod, options: Mounting<P>, room: Room) {
  const run = guardedStream(route, method, options.guard);
  const observe = options.metrics.observer(method);
  const beginSpan = options.tracing?.calls(method, "grpc");
  return async (raw: ServerWritableStream<Buffer, Buffer>): Promise<void> => {
    const requestBytes = raw.request.length;
    if (!room.enter(requestBytes)) {
      observe(status.RESOURCE_EXHAUSTED, 0);
      raw.emit("error", refusal);
      return;
    }
    const startedMs = performance.now();
    const call = new GrpcCall(
      method,
      options.draining,
      raw,
      options.certificates,
      beginSpan?.(traceparentOf(raw)),
    );
    try {
      for await (const value of run(decode(method.input, raw.request), call)) {
        if (call.signal.aborted) {
          break;
        }
        call.sendHeaders();
        if (!raw.write(encode(method.output, value))) {
          await once(raw, "drain", { signal: call.signal });
        }
      }
      call.sendHeaders();
      raw.end();
      observe(call.signal.aborted ? status.CANCELLED : status.OK, performance.now() - startedMs, call.trace);
    } catch (error) {
      observe(endWithError(raw, call, error, options.report), performance.now() - startedMs, call.trace);
    } finally {
      room.leave(requestBytes);
    }
  };
}

function traceparentOf({ metadata }: GrpcServerCall): string | undefined {
  return metadata.get("traceparent")[0] as string | undefined;
}

function endWithError(
  raw: ServerWritableStream<Buffer, Buffer>,
  call: GrpcCall,
  error: unknown,
  report: ReportFault,
): Parameters<ObserveCall>[0] {
  if (call.signal.aborted) {
    return status.CANCELLED; // nobody is left to tell
  }
  const failure = answerable(error, report, call.trace);
  call.sendHeaders();
  raw.emit("error", Object.assign(new Error(failure.message), grpcError(failure)));
  return status[failure.code];
}

function decode(desc: DescMessage, bytes: Buffer): Message {
  try {
    return fromBinary(desc, bytes);
  } catch (cause) {
    throw invalid([{ field: "", description: `not a ${desc.typeName}` }], cause);
  }
}

// grpc-js copies the bytes behind their length before the callback returns, so that they may be a view.
function writerOf<P>({ writers }: Route<P>, { localName, output }: DescMethod): (value: object) => Buffer {
  const write = writers?.[localName] as ((reply: Message) => Buffer) | undefined;
  return write === undefined
    ? (value) => encode(output, value)
    : (value) => write(create(output, value as never) as Message);
}

function encode(desc: DescMessage, value: object): Buffer {
  const bytes = toBinary(desc, create(desc, value as never) as Message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
