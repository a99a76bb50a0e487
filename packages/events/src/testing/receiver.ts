import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, vi } from "vitest";

/** A delivery as it came in. */
export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly body: {
    id: string;
    type: string;
    account_id: string;
    subject: string;
    data: Record<string, unknown>;
  };
}

/** Takes deliveries over HTTP, or answers them as told. */
export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** What it answers from now on. */
  status: number;
  /** Waits for as many deliveries, and takes them away. */
  take(count: number): Promise<Received[]>;
  stop(): void;
}

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer(async (request, answer) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    received.push({ headers: request.headers, text, body: JSON.parse(text) });
    answer.writeHead(receiver.status).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=not-shown`,
    received,
    status: 200,
    async take(count) {
      await vi.waitFor(() => expect(received.length).toBeGreaterThanOrEqual(count), {
        timeout: 10_000,
        interval: 20,
      });
      return received.splice(0);
    },
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
  return receiver;
}
