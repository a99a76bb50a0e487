import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** What a backend got. */
export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/**
 * A backend that answers every call with what it got, and keeps it; with the status that `x-answer` asks for. It opens
 * whatever tunnel it is asked for.
 */
export class EchoBackend {
  readonly received: Received[] = [];
  /** What the tunnels that were opened are for, as `Upgrade` said; `CONNECT` where that opened one. */
  readonly tunnels: string[] = [];
  readonly port: number;
  readonly #close: () => Promise<void>;

  private constructor(port: number, close: () => Promise<void>) {
    this.port = port;
    this.#close = close;
  }

  static async start(): Promise<EchoBackend> {
    const server = createServer(async (request, response) => {
      const { method, url, headers } = request;
      const received = { method: method!, url: url!, headers, body: await text(request) };
      backend.received.push(received);
      // A backend that refuses for reasons of its own.
      response.statusCode = Number(headers["x-answer"] ?? 200);
      response.setHeader("content-type", "application/json").end(JSON.stringify(received));
    });
    server.on("upgrade", ({ headers }, socket) => {
      backend.tunnels.push(headers.upgrade!);
      const lines = [
        "HTTP/1.1 101 Switching Protocols",
        "connection: upgrade",
        `upgrade: ${headers.upgrade}`,
      ];
      const key = headers["sec-websocket-key"];
      if (key !== undefined) lines.push(`sec-websocket-accept: ${acceptOf(key)}`);
      socket.end(`${lines.join("\r\n")}\r\n\r\n`);
    });
    server.on("connect", (_request, socket) => {
      backend.tunnels.push("CONNECT");
      socket.end("HTTP/1.1 200 OK\r\n\r\n");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const backend = new EchoBackend((server.address() as AddressInfo).port, async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    });
    return backend;
  }

  close(): Promise<void> {
    return this.#close();
  }
}

// RFC 6455, section 4.2.2.
function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
