import type { IncomingMessage, ServerResponse } from "node:http";
import { create, type DescMethodUnary, type Message, type MessageShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { plainAddress } from "./call.ts";
import { noRoom, type Room } from "./call-room.ts";
import { answerable } from "./error-wire.ts";
import type { Failure } from "./failure.ts";
import { guardedUnary, type OpenCall } from "./handlers.ts";
import { peerCertificateOf } from "./peer-certificate.ts";
import type { Span } from "./span.ts";
import type { TransportOptions } from "./transport.ts";

/** A plain HTTP request on whose behalf an RPC of this service is called. */
export interface PlainExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The headers as the guard is to see them; names are lower-cased. */
  header(name: string): string | undefined;
}

/**
 * Calls an RPC of this service as a caller over HTTP would: through the same guard, into the same room, counted by the
 * same metrics. Calls back exactly once, with a Failure or the reply; a fault of ours has been reported by then.
 */
export type CallOwn = <M extends DescMethodUnary>(
  method: M,
  message: MessageShape<M["input"]>,
  exchange: PlainExchange,
  done: (failure: Failure | undefined, reply?: MessageShape<M["output"]>) => void,
) => void;

/** What Node takes of headers by default: such a call came in no more. */
const REQUEST_BYTES = 16 * 1024;

/** Over the routes of a service. An RPC is mounted when it is first called. */
export function ownCalls<P>(options: TransportOptions<P>): CallOwn {
  const mounted = new Map<DescMethodUnary, Mounted>();
  const door = options.room.door();
  return (method, message, exchange, done) => {
    const to = mounted.get(method) ?? mount(method, options, door(method));
    mounted.set(method, to);
    to(message, exchange, done as (failure: Failure | undefined, reply?: Message) => void);
  };
}

type Mounted = (
  message: Message,
  exchange: PlainExchange,
  done: (failure: Failure | undefined, reply?: Message) => void,
) => void;

function mount<P>(method: DescMethodUnary, options: TransportOptions<P>, room: Room): Mounted {
  const route = options.routes.find(({ service }) => service === method.parent);
  if (route === undefined) throw new Error(`${method.parent.typeName} is not served here`);
  const run = guardedUnary(route, method, options.guard);
  const observe = options.metrics.observer(method);
  const beginSpan = options.tracing?.calls(method, "connect_rpc");
  return (message, exchange, done) => {
    if (!room.enter(REQUEST_BYTES)) {
      observe(status.RESOURCE_EXHAUSTED, 0);
      done(noRoom);
      return;
    }
    const startedMs = performance.now();
    const trace = beginSpan?.(exchange.header("traceparent"));
    run(message, plainCall(method, exchange, options.draining, trace), (error, value) => {
      room.leave(REQUEST_BYTES);
      const failure =
        error === undefined || error === null ? undefined : answerable(error, options.report, trace);
      observe(status[failure?.code ?? "OK"], performance.now() - startedMs, trace);
      if (failure === undefined) done(undefined, create(method.output, value as never) as Message);
      else done(failure);
    });
  };
}

function plainCall(
  method: DescMethodUnary,
  { request, response, header }: PlainExchange,
  draining: AbortSignal,
  trace: Span | undefined,
): OpenCall {
  let aborter: AbortController | undefined;
  return {
    principal: undefined,
    method,
    trace,
    header,
    peerAddress: plainAddress(request.socket.remoteAddress),
    get peerCertificate() {
      return peerCertificateOf(request.socket);
    },
    get signal() {
      if (aborter === undefined) {
        const made = new AbortController();
        aborter = made;
        // After an answer it closes as well; then nobody listens any more.
        if (response.closed) made.abort();
        else response.once("close", () => made.abort());
      }
      return aborter.signal;
    },
    draining,
    deadlineMs: undefined,
    get isAbandoned() {
      return request.socket.destroyed;
    },
    // The endpoint makes its own answer.
    setHeader: () => {},
  };
}
