import { afterAll, beforeAll, expect, test } from "vitest";
import { EchoBackend } from "./echo-backend.ts";
import { GATEWAYS, Gateway, isInstalled } from "./gateway.ts";

/** HAProxy passes a call on when a Lua action fails: the example must not. Here it fails for want of an address. */

const haproxy = GATEWAYS.find(({ name }) => name === "haproxy")!;
const having = test.skipIf(!isInstalled(haproxy));
const ADDRESS = /^ +setenv GATEHOUSE_URL .*$/m;
const ADDRESS_AND_DENY = /^ +(setenv GATEHOUSE_URL|http-request deny) .*$/gm;

let backend: EchoBackend;
beforeAll(async () => {
  backend = await EchoBackend.start();
});
afterAll(() => backend.close());

async function statusWithout(lines: RegExp): Promise<number> {
  const surroundings = { authz: "127.0.0.1:1", backendPort: backend.port, verifierKey: "none" };
  await using gateway = await Gateway.start(haproxy, surroundings, lines);
  const { status } = await fetch(`${gateway.url}/weather`);
  await expect.poll(() => gateway.log.join(""), { timeout: 5000 }).toContain("runtime error");
  return status;
}

having("an action that fails lets nothing pass", async () => {
  expect(await statusWithout(ADDRESS)).toBe(503);
  expect(backend.received).toEqual([]);
});

having("and would, without the line after it", async () => {
  expect(await statusWithout(ADDRESS_AND_DENY)).toBe(200);
});
