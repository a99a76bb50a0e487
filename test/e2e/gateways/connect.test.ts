import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { EchoBackend } from "./echo-backend.ts";
import { GATEWAYS, Gateway, type GatewayProgram, isInstalled } from "./gateway.ts";
import { send } from "./send.ts";

/** By CONNECT a caller asks for a tunnel. The gateways refuse it themselves: authz lets everything pass here. */

let backend: EchoBackend;
let willing: Server;
let asked = 0;
beforeAll(async () => {
  backend = await EchoBackend.start();
  willing = createServer((_request, response) => {
    asked++;
    response.writeHead(200, { "gatehouse-status": "200" }).end();
  });
  willing.listen(0, "127.0.0.1");
  await once(willing, "listening");
});
beforeEach(() => {
  asked = 0;
  backend.tunnels.length = 0;
});
afterAll(async () => {
  willing.closeAllConnections();
  willing.close();
  await backend.close();
});

/** To an authority that all of them take for theirs. */
const connect = (gateway: Gateway) => send(gateway, { method: "CONNECT", path: new URL(gateway.url).host });
const surroundings = () => ({
  authz: `127.0.0.1:${(willing.address() as AddressInfo).port}`,
  backendPort: backend.port,
  verifierKey: "none",
});

describe.each(GATEWAYS)("$name", (program: GatewayProgram) => {
  const isHere = isInstalled(program);
  const having = test.skipIf(!isHere);
  having("refuses CONNECT, and asks nobody", async () => {
    await using gateway = await Gateway.start(program, surroundings());
    expect((await send(gateway, { path: "/weather" })).status).toBe(200);
    expect(asked).toBe(1);
    // nginx takes an authority for no path: 400.
    expect([400, 405]).toContain((await connect(gateway)).status);
    expect([asked, backend.tunnels]).toEqual([1, []]);
  });

  if (program.connects !== undefined)
    having("and would pass it on without the line for it", async () => {
      await using gateway = await Gateway.start(program, surroundings(), program.connects);
      await connect(gateway);
      expect([asked, backend.tunnels]).toEqual([1, ["CONNECT"]]);
    });
});
