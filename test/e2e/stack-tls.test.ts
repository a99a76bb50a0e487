import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestCa, whyNoCertificates } from "@gatehouse/service/test-certificates";
import { anyPorts, startStack } from "@gatehouse/stack";
import { expect, test } from "vitest";

test.skipIf(whyNoCertificates !== undefined)(
  "the stack gives authz the TLS that it is told of, and dials its own services all the same",
  async () => {
    await using ca = await TestCa.make();
    const { certPath, keyPath } = await ca.server();
    const directory = await mkdtemp(join(tmpdir(), "gatehouse-stack-"));
    // Postgres may run as another user, who must pass through.
    await chmod(directory, 0o755);
    const stack = await startStack({
      directory,
      ports: anyPorts,
      logLevel: "silent",
      postgresSettings: ["fsync=off"],
      environment: { GATEHOUSE_TLS_CERT: certPath, GATEHOUSE_TLS_KEY: keyPath },
    });
    try {
      const { httpAddress } = stack.authz;
      expect(stack.authzScheme).toBe("https");
      const [response] = (await once(
        get(`https://${httpAddress}/readyz`, { ca: ca.cert, agent: false }),
        "response",
      )) as [IncomingMessage];
      response.resume();
      expect(response.statusCode).toBe(200);
      await expect(fetch(`http://${httpAddress}/readyz`)).rejects.toThrow();
      expect((await fetch(`http://${stack.identity.httpAddress}/readyz`)).status).toBe(200);
    } finally {
      await stack.close();
      await rm(directory, { recursive: true, force: true });
    }
  },
  60_000,
);
