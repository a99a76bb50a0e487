import { Window } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { type Answer, ask, countCodes, startLoad } from "../system/verifying.ts";
import { connectToWorkers } from "../system/worker-connections.ts";
import { arrivedUsage, bucketOf, settledBucket, sum } from "./books.ts";
import { admitted, spendUntilRefused } from "./spend-until-refused.ts";

const N = 1000;
const CONNECTIONS_EACH = 4;
const CONNECTIONS = 8;
const SPENDERS_EACH = 8;
const UNLIMITED = 1_000_000;

const system = useSystem({ replicas: [{ environment: { GATEHOUSE_WORKERS: "2" } }] });

async function organizationWithQuota(name: string, units: number) {
  const made = await makeOrganization(system(), name);
  const allowance = { case: "quota", value: { units: BigInt(units), window: Window.NEVER } } as const;
  await system().root.limits.setLimit({ node: { case: "account", value: made.id }, allowance }, timely);
  return made;
}

/** Verifies that all workers have answered, as `/metrics` of whichever is asked says. */
async function verifiesCounted(): Promise<number> {
  const { httpAddress } = system().replicas[0]!.process;
  const text = await (await fetch(`http://${httpAddress}/metrics`)).text();
  const counts = text.matchAll(
    /^gatehouse_rpc_requests_total\{[^}]*AuthzService\/Verify"[^}]*code="OK"[^}]*\} (\d+)$/gm,
  );
  return sum([...counts].map(([, count]) => Number(count)));
}

/** As many to each worker, by worker. */
async function rootConnections() {
  const { root, as, replicas } = system();
  return (await connectToWorkers(replicas[0]!.process, () => as(root.secret), CONNECTIONS_EACH)).flat();
}

test("two workers behind one port admit exactly what there is, and are seen as one", async () => {
  const made = await organizationWithQuota("In workers", N);
  const connections = await rootConnections();
  const before = await verifiesCounted();
  const spenders = Array.from({ length: SPENDERS_EACH }, () => ({ key: made.key.secret, replica: 0 }));
  const all = await Promise.all(connections.map((verifier) => spendUntilRefused(verifier, spenders)));
  const answers = all.flat();
  const each = all.map((some) => admitted(some));
  measured("quota of 1000 over two workers", {
    admitted: admitted(answers),
    each,
    codes: countCodes(answers),
  });
  expect(admitted(answers)).toBe(N);
  expect(countCodes(answers)).toMatchObject({ QUOTA_EXCEEDED: CONNECTIONS * SPENDERS_EACH });
  expect(await verifiesCounted()).toBe(before + answers.length);
  expect(sum((await arrivedUsage(made.master, made.id, N)).values())).toBe(N);
  expect(await settledBucket(system().root, made.id)).toEqual({ used: N, leased: 0, remaining: 0 });
});

test("a worker that is killed comes back and loses nothing that it answered, while the other goes on", async () => {
  const made = await organizationWithQuota("A killed worker", UNLIMITED);
  const connections = await rootConnections();
  const lostOn = new Set<number>();
  const load = startLoad(CONNECTIONS, async (caller) => {
    const answer = await ask(connections[caller]!, 0, { key: made.key.secret });
    if (answer.code === "LOST") lostOn.add(caller);
    return answer;
  });
  let answers: readonly Answer[];
  let killedMs: number;
  let backMs: number;
  const { process: replica } = system().replicas[0]!;
  const [victim] = replica.listening;
  try {
    await until("calls are warm", () => admitted(load.answers) > 500);
    killedMs = performance.now();
    process.kill(victim!.pid, "SIGKILL");
    await until("it is back", () =>
      replica.listening.some(({ worker, pid }) => worker === victim!.worker && pid !== victim!.pid),
    );
    const back = performance.now();
    await until("all are admitted again", () => {
      const last = load.answers.slice(-50);
      return last.every(({ code, sentMs }) => code === "VALID" && sentMs > back);
    });
    backMs = back;
  } finally {
    answers = await load.stop();
  }
  const { LOST: lost = 0 } = countCodes(answers);
  const meanwhile = answers.filter(({ sentMs }) => sentMs > killedMs && sentMs < backMs);
  measured("one of two workers killed", { codes: countCodes(answers), meanwhile: countCodes(meanwhile) });
  // Connections of the first worker were lost, and the other's were not.
  expect(lostOn.size).toBeGreaterThan(0);
  expect(Math.max(...lostOn)).toBeLessThan(CONNECTIONS_EACH);
  expect(admitted(meanwhile)).toBeGreaterThan(0);
  const usage = sum((await arrivedUsage(made.master, made.id, admitted(answers))).values());
  await until(
    "the bucket says the same",
    async () => (await bucketOf(system().root, made.id)).used === usage,
  );
  expect(usage - admitted(answers)).toBeLessThanOrEqual(lost);
});

test("workers whose primary is killed end, and the replica starts again over their spools", async () => {
  const made = await organizationWithQuota("A killed primary", UNLIMITED);
  const { process: replica } = system().replicas[0]!;
  const connections = await rootConnections();
  const answers = await Promise.all(
    Array.from({ length: N }, (_, i) => ask(connections[i % CONNECTIONS]!, 0, { key: made.key.secret })),
  );
  const old = replica.listening;
  await replica.restart();
  expect(countCodes(answers)).toEqual({ VALID: N });
  expect(sum((await arrivedUsage(made.master, made.id, N)).values())).toBe(N);
  await until("the bucket says the same", async () => (await bucketOf(system().root, made.id)).used === N);
  // A spool is given up before its process is gone.
  await until("the old ones have ended", () => !old.some(({ pid }) => isAlive(pid)));
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
