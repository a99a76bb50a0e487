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

/** A backend that answers every call with what it got, and keeps it; with the status that `x-answer` asks for. */
export class EchoBackend {
  readonly received: Received[] = [];
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
