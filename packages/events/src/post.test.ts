import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { post } from "./post.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

async function receiver(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?a=b`;
}

const attempt = (url: string, more = {}) =>
  post({ url, body: '{"ä":1}', headers: { "gatehouse-event": "key.silent" }, insecure: true, ...more });

describe("an attempt", () => {
  it("posts the body with its headers, and 2xx is taken", async () => {
    let seen: unknown;
    const url = await receiver(async (request, answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const { method, url, headers } = request;
      seen = [
        method,
        url,
        headers["gatehouse-event"],
        headers["content-type"],
        Buffer.concat(chunks).toString(),
      ];
      answer.writeHead(202).end("thanks");
    });
    expect(await attempt(url)).toEqual({ taken: true, final: false, error: "" });
    expect(seen).toEqual(["POST", "/hook?a=b", "key.silent", "application/json", '{"ä":1}']);
  });

  it("follows no redirect, and takes 410 for final", async () => {
    let redirected = 0;
    const url = await receiver((request, answer) => {
      if (request.url === "/other") redirected++;
      answer.writeHead(307, { location: "/other" }).end();
    });
    expect(await attempt(url)).toEqual({ taken: false, final: false, error: "HTTP 307" });
    expect(redirected).toBe(0);
    const gone = await receiver((_, answer) => void answer.writeHead(410).end());
    expect(await attempt(gone)).toEqual({ taken: false, final: true, error: "HTTP 410" });
  });

  it("ends in time, whether nothing comes, or something without end, slow or fast", async () => {
    const silent = await receiver(() => {});
    expect(await attempt(silent, { timeoutMs: 200 })).toMatchObject({ taken: false, error: "timed out" });
    const dripping = await receiver((_, answer) => {
      const timer = setInterval(() => answer.write("x"), 20);
      answer.on("close", () => clearInterval(timer));
    });
    expect(await attempt(dripping, { timeoutMs: 200 })).toMatchObject({ taken: false, error: "timed out" });
    let sent = 0;
    const flooding = await receiver((_, answer) => {
      const flood = () => {
        while (!answer.destroyed && answer.write("x".repeat(16_384))) sent += 16_384;
      };
      answer.on("drain", flood);
      flood();
    });
    expect(await attempt(flooding)).toMatchObject({ taken: true });
    expect(sent).toBeLessThan(20_000_000);
  });

  it("says what a receiver that is not there ran into, and no more", async () => {
    expect(await attempt("http://127.0.0.1:1/")).toMatchObject({ taken: false, error: "ECONNREFUSED" });
    const url = await receiver((request) => request.destroy());
    expect(await attempt(url)).toMatchObject({ taken: false, error: "ECONNRESET" });
  });
});

describe("the address guard", () => {
  it.each([
    ["http to anywhere", "http://example.com/", "the receiver is not https"],
    ["an address of its own host", "https://127.0.0.1/", "the receiver is no public address"],
    ["the same written as a number", "https://2130706433/", "the receiver is no public address"],
    ["the same as IPv6", "https://[::ffff:127.0.0.1]/", "the receiver is no public address"],
    ["metadata", "https://169.254.169.254/latest", "the receiver is no public address"],
    // Resolved by the machine, which is where a name that was rebound ends up too.
    ["a name of such an address", "https://localhost/", "the receiver has no public address"],
  ])("refuses %s", async (_, url, error) => {
    const outcome = await attempt(url, { insecure: false });
    expect(outcome).toEqual({ taken: false, final: false, error });
  });

  it("is what refuses: without it the same receiver is reached", async () => {
    const url = await receiver((_, answer) => void answer.end());
    const byName = url.replace("127.0.0.1", "localhost");
    expect(await attempt(byName, { insecure: false })).toMatchObject({ taken: false });
    expect(await attempt(byName, { insecure: true })).toMatchObject({ taken: true });
  });
});
