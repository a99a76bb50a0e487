import { once } from "node:events";
import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { joinAddress } from "./address.ts";
import { answerable, grpcError, type ReportFault } from "./error-wire.ts";
import { invalid } from "./failure.ts";
import { GrpcCall } from "./grpc-call.ts";
import { guardedStream, guardedUnary, type Route } from "./handlers.ts";
import { Health } from "./health.ts";
import { REQUEST_BYTES_MAX } from "./limits.ts";
import type { ObserveCall } from "./metrics.ts";
import { addReflection } from "./reflection.ts";
import type { TransportOptions } from "./transport.ts";

const SERVER_OPTIONS = {
  "grpc.max_receive_message_length": REQUEST_BYTES_MAX,
  // Per connection; more wait in the client. Clients with more to do than this should open another connection.
  "grpc.max_concurrent_streams": 1000,
  // A peer that vanished without a FIN is noticed within 40 s, so that its streams do not pile up.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // Bookkeeping for a debugging service that we do not serve.
  "grpc.enable_channelz": 0,
};

// Sockets that were told to end, and have not after this many milliseconds, are left to the process's end.
const FORCED_MS_MAX = 1000;

/** The gRPC side of a service: its routes, health and reflection. */
export interface GrpcTransport {
  /** Binds and returns the port, chosen by the system where `port` is 0. Rejects where it is taken. */
  listen(host: string, port: number): Promise<number>;
  setServing(serving: boolean): void;
  /** Refuses new calls, lets running ones finish for `graceMs`, then cuts them. */
  close(graceMs: number): Promise<void>;
}

/** Mounts routes on grpc-js. Throws where a guard refuses an RPC or one has no access rule. */
export function grpcTransport<P>(
  options: TransportOptions<P>,
  credentials: ServerCredentials = ServerCredentials.createInsecure(),
): GrpcTransport {
  const server = new Server(SERVER_OPTIONS);
  let bound: string | undefined;
  const health = new Health(options.routes.map(({ service }) => service.typeName));
  for (const route of options.routes) {
    const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
    const implementation: UntypedServiceImplementation = {};
    for (const method of route.service.methods) {
      definition[method.localName] = rawDefinition(method);
      implementation[method.localName] =
        method.methodKind === "unary"
          ? mountUnary(route, method, options)
          : mountStream(route, method, options);
    }
    server.addService(definition as ServiceDefinition, implementation);
  }
  health.addToServer(server);
  addReflection(
    server,
    options.routes.map(({ service }) => service),
  );
  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        const address = joinAddress(host, port);
        server.bindAsync(address, credentials, (error, actualPort) => {
          if (error) {
            reject(error);
          } else {
            bound = joinAddress(host, actualPort);
            resolve(actualPort);
          }
        });
      }),
    setServing: (serving) => health.setServing(serving),
    close: (graceMs) => {
      health.setServing(false);
      health.endWatches();
      return shutDown(server, bound, graceMs);
    },
  };
}

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

function mountUnary<P>(route: Route<P>, method: DescMethod, options: TransportOptions<P>) {
  const run = guardedUnary(route, method, options.guard);
  const observe = options.metrics.observer(method);
  return (raw: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
    const startedMs = performance.now();
    const call = new GrpcCall(method, options.draining, raw);

    function done(error: unknown, value?: object): void {
      let reply: Buffer;
      try {
        if (error !== undefined && error !== null) {
          throw error;
        }
        reply = encode(method.output, value!);
      } catch (thrown) {
        const failure = answerable(thrown, options.report);
        observe(status[failure.code], performance.now() - startedMs);
        call.sendHeaders();
        callback(grpcError(failure));
        return;
      }
      observe(status.OK, performance.now() - startedMs);
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

function mountStream<P>(route: Route<P>, method: DescMethod, options: TransportOptions<P>) {
  const run = guardedStream(route, method, options.guard);
  const observe = options.metrics.observer(method);
  return async (raw: ServerWritableStream<Buffer, Buffer>): Promise<void> => {
    const startedMs = performance.now();
    const call = new GrpcCall(method, options.draining, raw);
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
      observe(call.signal.aborted ? status.CANCELLED : status.OK, performance.now() - startedMs);
    } catch (error) {
      observe(endWithError(raw, call, error, options.report), performance.now() - startedMs);
    }
  };
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
  const failure = answerable(error, report);
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

function encode(desc: DescMessage, value: object): Buffer {
  const bytes = toBinary(desc, create(desc, value as never) as Message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// grpc-js destroys sessions at forceShutdown only where channelz is on; `drain` does it always. It has to come
// first: it forgets sessions that tryShutdown has begun to close.
function shutDown(server: Server, bound: string | undefined, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    if (bound !== undefined) {
      server.drain(bound, graceMs);
    }
    const force = setTimeout(resolve, graceMs + FORCED_MS_MAX);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
