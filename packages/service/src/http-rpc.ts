import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { create, type DescMethod, type Message, toBinary } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type MethodImpl,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { errorToJson } from "@connectrpc/connect/protocol-connect";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { status } from "@grpc/grpc-js";
import { plainAddress } from "./call.ts";
import { noRoom, type Room } from "./call-room.ts";
import { answerable, connectError } from "./error-wire.ts";
import { Failure } from "./failure.ts";
import { guardedStream, guardedUnary, type OpenCall, type Route } from "./handlers.ts";
import { sendJson } from "./http-json.ts";
import { dressParseError, recordRequest } from "./http-parse-error.ts";
import { REQUEST_BYTES_MAX } from "./limits.ts";
import { peerCertificateOf } from "./peer-certificate.ts";
import type { BeginCall } from "./tracing.ts";
import type { TransportOptions } from "./transport.ts";

const socketKey = createContextKey<Socket | undefined>(undefined);
const responseKey = createContextKey<ServerResponse | undefined>(undefined);
const weighKey = createContextKey<Weigh | undefined>(undefined);

/** Told how many bytes a request turned out to have. */
type Weigh = (bytes: number) => void;

/** Serves one HTTP request if its path is an RPC's, and says whether it was. Never throws. */
export type RpcListener = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * Mounts routes for Connect, gRPC-Web and JSON over HTTP/1.1.
 *
 * @param stopping aborts the calls that are still running when closing has waited long enough
 */
export function rpcListener<P>(options: TransportOptions<P>, stopping: AbortSignal): RpcListener {
  const router = createConnectRouter({
    grpc: false,
    readMaxBytes: REQUEST_BYTES_MAX,
    // A field that we do not know is something the caller asked for and would not get.
    // Zeros are printed: a person who reads `"remaining": "0"` should not have to know that absent means it.
    jsonOptions: { ignoreUnknownFields: false, alwaysEmitImplicit: true },
    acceptCompression: [compressionGzip, compressionBrotli],
    shutdownSignal: stopping,
  });
  for (const route of options.routes) {
    for (const method of route.service.methods) {
      mount(router, route, method, options);
    }
  }
  const roomOf = options.room.door();
  const handlers = new Map(
    router.handlers.map((handler) => [handler.requestPath, { handler, room: roomOf(handler.method) }]),
  );
  return (request, response) => {
    const called = handlers.get(request.url?.split("?", 1)[0] ?? "");
    if (called === undefined) {
      return false;
    }
    const { handler, room } = called;
    const weigh = enter(room, request, response);
    if (weigh === undefined) {
      refuse(response);
      return true;
    }
    serveRpc(handler, request, response, weigh).catch(() => {
      // The caller hung up, or sent a Host header that makes no URL.
      if (response.headersSent) {
        response.destroy();
      } else {
        sendJson(response, 400, { code: "invalid_argument", message: "not a valid request" });
      }
    });
    return true;
  };
}

// Undefined: there is no room.
function enter(room: Room, request: IncomingMessage, response: ServerResponse): Weigh | undefined {
  const { headers, socket } = request;
  // A body that does not say how long it is, or is compressed, may be as long as any until it has been read.
  const length = isCompressed(request) ? undefined : headers["content-length"];
  let bytes = length === undefined ? REQUEST_BYTES_MAX : Math.min(+length, REQUEST_BYTES_MAX);
  if (!room.enter(bytes)) return undefined;
  let hasLeft = false;
  const weigh = (found: number) => {
    // A caller may hang up while its body is being unpacked.
    if (hasLeft) return;
    const held = Math.min(found, REQUEST_BYTES_MAX);
    room.resize(bytes, held);
    bytes = held;
  };
  if (length === undefined && !isCompressed(request)) {
    const readBefore = socket.bytesRead;
    request.once("end", () => weigh(socket.bytesRead - readBefore));
  }
  // After the last byte of the reply, or when the connection was lost: a reply that nobody reads holds room, too.
  response.once("close", () => {
    hasLeft = true;
    room.leave(bytes);
  });
  return weigh;
}

function isCompressed({ headers }: IncomingMessage): boolean {
  return ENCODINGS.some((name) => headers[name] !== undefined && headers[name] !== "identity");
}

/** Of Connect's unary calls, of its streams, and of gRPC-Web. */
const ENCODINGS = ["content-encoding", "connect-content-encoding", "grpc-encoding"];

// What a compressed body held is known once it is a message.
function weighMessage(request: Message, method: DescMethod, { values }: HandlerContext): void {
  values.get(weighKey)?.(toBinary(method.input, request).length);
}

// An error of Connect's; gRPC-Web reads UNAVAILABLE from the status. The body is not read, so the connection ends.
function refuse(response: ServerResponse): void {
  response.setHeader("connection", "close");
  response.setHeader("retry-after", "1");
  sendJson(response, 429, refusal);
}

const refusal = errorToJson(connectError(noRoom), undefined);

async function serveRpc(
  handler: UniversalHandler,
  request: IncomingMessage,
  response: ServerResponse,
  weigh: Weigh,
) {
  // Any answer may hold a secret or somebody's usage; none is for a cache.
  response.setHeader("cache-control", "no-store");
  const values = createContextValues().set(socketKey, request.socket).set(responseKey, response);
  if (isCompressed(request)) values.set(weighKey, weigh);
  const came = universalRequestFromNodeRequest(request, response, undefined, values);
  const { request: recorded, sent } = recordRequest(came, handler.method.input);
  const reply = await handler(recorded);
  const refusal = PROTOCOL_REFUSALS[reply.status];
  if (refusal !== undefined && reply.body === undefined) {
    response.setHeader("allow", "POST");
    const message = handler.method.methodKind === "unary" ? refusal.unary : refusal.stream;
    sendJson(response, reply.status, { code: refusal.code, message });
    return;
  }
  await universalResponseToNodeResponse(await dressParseError(reply, sent), response);
}

/** What Connect answers with a bare status. */
const PROTOCOL_REFUSALS: Readonly<Record<number, { code: string; unary: string; stream: string }>> = {
  405: {
    code: "unimplemented",
    unary: "an RPC is called with POST and a JSON object as its body",
    stream: "an RPC is called with POST",
  },
  415: {
    code: "invalid_argument",
    unary: "send a JSON object with the header content-type: application/json",
    stream: "this RPC streams: call it with content-type: application/connect+json, by gRPC-Web or by gRPC",
  },
};

function mount<P>(
  router: ConnectRouter,
  route: Route<P>,
  method: DescMethod,
  options: TransportOptions<P>,
): void {
  const implementation =
    method.methodKind === "unary" ? unary(route, method, options) : serverStream(route, method, options);
  router.rpc(method, implementation as MethodImpl<DescMethod>);
}

function unary<P>(route: Route<P>, method: DescMethod, options: TransportOptions<P>) {
  const run = guardedUnary(route, method, options.guard);
  const observe = options.metrics.observer(method);
  const beginSpan = options.tracing?.calls(method, "connect_rpc");
  return (request: Message, context: HandlerContext): Promise<Message> =>
    new Promise((resolve, reject) => {
      const startedMs = performance.now();
      weighMessage(request, method, context);
      const call = connectCall(context, options.draining, beginSpan);
      run(request, call, (error, value) => {
        try {
          if (error !== undefined && error !== null) {
            throw error;
          }
          resolve(create(method.output, value as never) as Message);
          observe(status.OK, performance.now() - startedMs, call.trace);
        } catch (thrown) {
          const failure = answerable(thrown, options.report, call.trace);
          observe(status[failure.code], performance.now() - startedMs, call.trace);
          reject(connectError(failure));
        }
      });
    });
}

function serverStream<P>(route: Route<P>, method: DescMethod, options: TransportOptions<P>) {
  const run = guardedStream(route, method, options.guard);
  const observe = options.metrics.observer(method);
  const beginSpan = options.tracing?.calls(method, "connect_rpc");
  // Connect's interceptors do not see what a streaming generator throws; it is caught here.
  return async function* (request: Message, context: HandlerContext): AsyncGenerator<Message> {
    const startedMs = performance.now();
    weighMessage(request, method, context);
    const call = connectCall(context, options.draining, beginSpan);
    let code: number = status.CANCELLED; // stands if the caller hangs up and the generator is returned
    try {
      for await (const value of run(request, call)) {
        yield create(method.output, value as never) as Message;
      }
      code = status.OK;
    } catch (error) {
      // To write to a caller who hung up fails, too: that is no fault of ours, and nobody is left to tell.
      const hungUp = context.values.get(responseKey)?.destroyed === true;
      const failure = hungUp ? cancelled : answerable(error, options.report, call.trace);
      code = status[failure.code];
      throw connectError(failure);
    } finally {
      observe(code, performance.now() - startedMs, call.trace);
    }
  };
}

const cancelled = new Failure({
  code: "CANCELLED",
  reason: "SOURCE_UNAVAILABLE",
  message: "the caller hung up",
});

function connectCall(
  context: HandlerContext,
  draining: AbortSignal,
  beginSpan: BeginCall | undefined,
): OpenCall {
  const timeoutMs = context.timeoutMs();
  const socket = context.values.get(socketKey);
  const deadlineMs = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
  return {
    principal: undefined,
    method: context.method,
    trace: beginSpan?.(context.requestHeader.get("traceparent") ?? undefined),
    header: (name) => context.requestHeader.get(name) ?? undefined,
    peerAddress: plainAddress(socket?.remoteAddress),
    get peerCertificate() {
      return socket && peerCertificateOf(socket);
    },
    signal: context.signal,
    draining,
    deadlineMs,
    get isAbandoned() {
      return context.signal.aborted || (deadlineMs !== undefined && Date.now() > deadlineMs);
    },
    setHeader: (name, value) => context.responseHeader.set(name, value),
  };
}
