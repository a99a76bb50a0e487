import { DecisionCode } from "@gatehouse/proto/authz";
import { expect, test } from "vitest";
import { type Caller, timely } from "../system/caller.ts";
import { makeOrganization } from "../system/organization.ts";
import { makeSigningKey, signedWith } from "../system/signing-key.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { connectToWorkers } from "../system/worker-connections.ts";

/** Each worker is a replica: it remembers the nonces that it took, and marks them where nobody else does. */

const WORKERS = 2;
const CONNECTIONS_EACH = 4;

const system = useSystem({ replicas: [{ environment: { GATEHOUSE_WORKERS: String(WORKERS) } }] });

/** Connections to each worker, by worker. */
async function connect(): Promise<readonly (readonly Caller[])[]> {
  const [replica] = system().replicas;
  return connectToWorkers(replica!.process, () => system().as(system().root.secret), CONNECTIONS_EACH);
}

type Signed = ReturnType<typeof signedWith>;

/** What a request is answered over each connection. */
async function codes(over: readonly Caller[], signed: Signed): Promise<string[]> {
  const answers = over.map(({ authz }) => authz[0]!.verify({ signed }, timely));
  return (await Promise.all(answers)).map(({ code }) => DecisionCode[code]!);
}

/** The same, of callers who try again what could not be decided, as they are told to. */
async function decided(over: readonly Caller[], signed: Signed): Promise<string[]> {
  const untilDecided = (caller: Caller) =>
    until("the request is decided", async () => {
      const [code] = await codes([caller], signed);
      return code !== "INDETERMINATE" && code;
    });
  return Promise.all(over.map(untilDecided));
}

/** What copies of one request are answered where one of them is admitted. */
function onceOf(count: number): string[] {
  return [...Array<string>(count - 1).fill("REPLAYED"), "VALID"];
}

test("a captured request is admitted once by each worker, with strict replay once, and after a restart never", async () => {
  const { master } = await makeOrganization(system(), "Signed at workers");
  const plain = await makeSigningKey(master, "HMAC_SHA256");
  const strict = await makeSigningKey(master, "HMAC_SHA256", { strictReplay: true });
  const before = await connect();
  expect(before).toHaveLength(WORKERS);
  // One after the other ahead of the clock: what one worker marks must not be undone by the next.
  const captured = [20_000, 10_000, 0].map((aheadMs) =>
    signedWith(plain, { timestampMs: Date.now() + aheadMs }),
  );
  for (const signed of captured) {
    const answers = await Promise.all(before.map((connections) => decided(connections, signed)));
    for (const byOne of answers) expect(byOne.sort()).toEqual(onceOf(CONNECTIONS_EACH));
  }
  const once = signedWith(strict);
  expect((await decided(before.flat(), once)).sort()).toEqual(onceOf(WORKERS * CONNECTIONS_EACH));

  await system().replicas[0]!.process.restart();
  const after = (await connect()).flat();
  for (const signed of captured) expect(await codes(after, signed)).not.toContain("VALID");
  expect(await decided(after, once)).toEqual(Array(after.length).fill("REPLAYED"));
  expect((await decided(after, signedWith(strict))).sort()).toEqual(onceOf(after.length));
});
