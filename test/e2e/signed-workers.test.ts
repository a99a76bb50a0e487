import { DecisionCode } from "@gatehouse/proto/authz";
import { expect, test } from "vitest";
import { type Caller, timely } from "../system/caller.ts";
import { makeOrganization } from "../system/organization.ts";
import { makeSigningKey, signedWith } from "../system/signing-key.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

/** Each worker is a replica: it remembers the nonces that it took, and marks them where nobody else does. */

const WORKERS = 2;
/** Each has a connection of its own, and the primary deals connections to workers in turn. */
const CONNECTIONS = 8;

const system = useSystem({ replicas: [{ environment: { GATEHOUSE_WORKERS: String(WORKERS) } }] });

function connections(): Caller[] {
  return Array.from({ length: CONNECTIONS }, () => system().as(system().root.secret));
}

/** What a request is answered over each connection. */
async function codes(over: readonly Caller[], signed: ReturnType<typeof signedWith>): Promise<string[]> {
  const answers = over.map(({ authz }) => authz[0]!.verify({ signed }, timely));
  return (await Promise.all(answers)).map(({ code }) => DecisionCode[code]!);
}

function valid(answers: readonly string[]): number {
  return answers.filter((code) => code === "VALID").length;
}

test("a captured request is admitted once by each worker at most, with strict replay once, and after a restart never", async () => {
  const { master } = await makeOrganization(system(), "Signed at workers");
  const plain = await makeSigningKey(master, "HMAC_SHA256");
  const strict = await makeSigningKey(master, "HMAC_SHA256", { strictReplay: true });
  const before = connections();
  // One after the other ahead of the clock: what one worker marks must not be undone by the next.
  const captured = [20_000, 10_000, 0].map((aheadMs) =>
    signedWith(plain, { timestampMs: Date.now() + aheadMs }),
  );
  for (const signed of captured) expect(valid(await codes(before, signed))).toBe(WORKERS);
  const once = signedWith(strict);
  expect(valid(await codes(before, once))).toBe(1);

  await system().replicas[0]!.process.restart();
  const after = connections();
  await until("every connection is answered", async () =>
    Promise.all(after.map(({ authz }) => authz[0]!.verify({ key: "none" }, timely))).then(
      () => true,
      () => false,
    ),
  );
  for (const signed of captured) expect(valid(await codes(after, signed))).toBe(0);
  expect(await codes(after, once)).toEqual(Array(CONNECTIONS).fill("REPLAYED"));
  expect(valid(await codes(after, signedWith(strict)))).toBe(1);
});
