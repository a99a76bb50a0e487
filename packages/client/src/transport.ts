import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Transport as ConnectTransport, Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

/** How calls travel: gRPC over HTTP/2, or the Connect protocol over HTTP/1.1. */
export type Transport = "grpc" | "connect";

/** A key, or where to get the one to use now. */
export type Credential = string | (() => string);

/** What {@link openTransport} takes. */
export interface TransportOptions {
  readonly baseUrl: string;
  readonly key: Credential;
  readonly timeoutMs: number;
}

/** A transport with connections of its own. */
export interface OpenTransport {
  readonly transport: ConnectTransport;
  close(): void;
}

/** The services take requests of 4 MiB and answer with at most 16. */
const READ_BYTES_MAX = 16 * 1024 * 1024;
/** Each call over HTTP/1.1 has a connection to itself; those of 32 at once are kept. */
const SOCKETS_MAX = 32;

/** Opens a transport. Nothing is connected before the first call. Throws where `baseUrl` is no URL. */
export function openTransport(kind: Transport, options: TransportOptions): OpenTransport {
  const { protocol } = new URL(options.baseUrl);
  const common = {
    baseUrl: options.baseUrl,
    interceptors: [presents(options.key)],
    defaultTimeoutMs: options.timeoutMs,
    readMaxBytes: READ_BYTES_MAX,
  };
  if (kind === "grpc") {
    const sessionManager = new Http2SessionManager(options.baseUrl);
    return {
      transport: createGrpcTransport({ ...common, sessionManager }),
      close: () => sessionManager.abort(),
    };
  }
  const Agent = protocol === "https:" ? HttpsAgent : HttpAgent;
  const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX });
  return {
    transport: createConnectTransport({ ...common, httpVersion: "1.1", nodeOptions: { agent } }),
    close: () => agent.destroy(),
  };
}

function presents(key: Credential): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${typeof key === "function" ? key() : key}`);
    return next(request);
  };
}
