import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Registry } from "prom-client";
import { answerable } from "./error-wire.ts";
import { sendJson } from "./http-json.ts";
import { rpcListener } from "./http-rpc.ts";
import { limitConnections } from "./limit-connections.ts";
import { type CallOwn, ownCalls } from "./own-calls.ts";
import type { Readiness } from "./readiness.ts";
import type { ServerTls } from "./tls.ts";
import { optionsOf } from "./tls.ts";
import type { TransportOptions } from "./transport.ts";

/**
 * A plain HTTP endpoint beside the RPCs: takes the request and returns true, or leaves it and returns false.
 * What it throws before it returns is answered 500; what it starts and does not wait for is its own to catch.
 */
export type ExtraEndpoint = (request: IncomingMessage, response: ServerResponse, callOwn: CallOwn) => boolean;

/** How long a client may take for its headers, and for a whole request; a silent one holds its connection no longer. */
const HEADERS_MS_MAX = 10_000;
const REQUEST_MS_MAX = 60_000;
/** A connection on which nothing moves for so long, while a reply waits to be read, has nobody at its end. */
const STALLED_MS_MAX = 120_000;
// Node looks for such clients every 30 s by default, three times as long as headers may take.
const SERVER_OPTIONS = { connectionsCheckingInterval: 2_000 };

/** What the HTTP side needs beyond the routes. */
export interface HttpTransportOptions<P> extends TransportOptions<P> {
  readonly readiness: Readiness;
  /** The text of `/metrics`. */
  readonly scrape: () => Promise<string>;
  readonly extra?: ExtraEndpoint | undefined;
  /** For tests; default two minutes. */
  readonly stalledMs?: number | undefined;
  /** Undefined: plaintext. */
  readonly tls?: ServerTls | undefined;
}

/** The HTTP side of a service: Connect, gRPC-Web, JSON, `/healthz`, `/readyz`, `/metrics`. */
export interface HttpTransport {
  /** Binds and returns the port, chosen by the system where `port` is 0. Rejects where it is taken. */
  listen(host: string, port: number): Promise<number>;
  /** From now on each answer ends its connection, so that clients that keep theirs go elsewhere. */
  leave(): void;
  /** Refuses new connections, lets running requests finish for `graceMs`, then cuts them. */
  close(graceMs: number): Promise<void>;
}

/** Makes the HTTP server. Throws where a guard refuses an RPC or one has no access rule. */
export function httpTransport<P>(options: HttpTransportOptions<P>): HttpTransport {
  const stopping = new AbortController();
  const serveRpc = rpcListener(options, stopping.signal);
  const callOwn = ownCalls(options);
  let isLeaving = false;
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    if (isLeaving) {
      response.setHeader("connection", "close");
    }
    if (!serveRpc(request, response) && !servePlain(request, response, options, callOwn)) {
      sendJson(response, 404, { code: "unimplemented", message: "nothing is served at this path" });
    }
  };
  const { tls } = options;
  const server =
    tls === undefined
      ? createServer(SERVER_OPTIONS, listener)
      : createTlsServer({ ...SERVER_OPTIONS, ...optionsOf(tls) }, listener);
  // Bounds how long a slow or silent client may hold a connection.
  server.headersTimeout = HEADERS_MS_MAX;
  server.requestTimeout = REQUEST_MS_MAX;
  server.timeout = options.stalledMs ?? STALLED_MS_MAX;
  limitConnections(server, options.maxConnections);
  return {
    async listen(host, port) {
      server.listen(port, host);
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
    leave: () => {
      isLeaving = true;
    },
    close: (graceMs) => close(server, stopping, graceMs),
  };
}

function servePlain<P>(
  request: IncomingMessage,
  response: ServerResponse,
  { readiness, scrape, report, extra }: HttpTransportOptions<P>,
  callOwn: CallOwn,
): boolean {
  switch (request.url?.split("?", 1)[0]) {
    case "/healthz":
      sendJson(response, 200, { status: "alive" });
      return true;
    case "/readyz":
      readiness.check().then(({ ready, checks }) => sendJson(response, ready ? 200 : 503, { ready, checks }));
      return true;
    case "/metrics":
      scrape().then(
        (text) => response.writeHead(200, { "content-type": Registry.PROMETHEUS_CONTENT_TYPE }).end(text),
        () => sendJson(response, 500, { code: "internal", message: "internal error" }),
      );
      return true;
    default:
      try {
        return extra?.(request, response, callOwn) ?? false;
      } catch (error) {
        const { code, message, metadata } = answerable(error, report);
        sendJson(response, 500, { code: code.toLowerCase(), message, ...metadata });
        return true;
      }
  }
}

function close(server: Server, stopping: AbortController, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    // Node closes the connections that are idle now; one that becomes idle later would be kept alive.
    const sweep = setInterval(() => server.closeIdleConnections(), 20);
    const force = setTimeout(() => {
      stopping.abort();
      server.closeAllConnections();
    }, graceMs);
    server.close(() => {
      clearInterval(sweep);
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}
