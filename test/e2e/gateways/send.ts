import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Gateway } from "./gateway.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

export interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
  /** What comes after a body that is chunked. */
  readonly trailers?: Readonly<Record<string, string>>;
}

/** A caller's request, on a connection of its own and its path as it is given: fetch would tidy it up. */
export function send(
  gateway: Gateway,
  { method = "GET", path = "/weather/berlin", headers = {}, body, trailers = {} }: Sent,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const { hostname, port } = new URL(gateway.url);
  const options = { hostname, port, path, method, headers, agent: false, timeout: 15_000 };
  const request = httpRequest(options, async (response) => {
    resolve({
      status: response.statusCode!,
      headers: response.headers,
      text: (await response.toArray()).join(""),
    });
  });
  for (const tunnel of ["upgrade", "connect"] as const) {
    request.once(tunnel, ({ statusCode, headers }, socket) => {
      socket.destroy();
      resolve({ status: statusCode!, headers, text: "" });
    });
  }
  request.once("timeout", () => request.destroy(new Error("no answer"))).once("error", reject);
  request.addTrailers(trailers);
  request.end(body);
  return promise;
}
