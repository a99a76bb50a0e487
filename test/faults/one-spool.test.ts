import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Window } from "@gatehouse/proto/metering";
import { afterAll, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { ask, askUntilValid } from "../system/verifying.ts";
import { bucketOf } from "./books.ts";
import { admitted, spendUntilRefused } from "./spend-until-refused.ts";

const N = 400;
const CALLERS = 8;
const [HOLDER, SECOND] = [0, 1];

const directory = mkdtempSync(join(tmpdir(), "gatehouse-one-spool-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const spool = join(directory, "spool");
/** Where the second one spools: first by itself, then where the other does. */
const second = join(directory, "second");
const spoolingTo = (path: string) => ({
  environment: { GATEHOUSE_SPOOL_DIR: path, GATEHOUSE_PRODUCER: "authz-twin" },
});
const system = useSystem({ replicas: [spoolingTo(spool), spoolingTo(second)] });

async function keyWithQuota(name: string) {
  const made = await makeOrganization(system(), name);
  const allowance = { case: "quota", value: { units: BigInt(N), window: Window.NEVER } } as const;
  await system().root.limits.setLimit({ node: { case: "account", value: made.id }, allowance }, timely);
  return { id: made.id, key: made.key.secret };
}

const spendAt = (replica: number, key: string) =>
  spendUntilRefused(
    system().root,
    Array.from({ length: CALLERS }, () => ({ key, replica })),
  );

test("a replica that stands still keeps its spool from another, and its leases", async () => {
  const { root, replicas } = system();
  const [holder, other] = replicas.map(({ process }) => process);
  const { key } = await keyWithQuota("One spool");
  await askUntilValid(root, HOLDER, { key });
  await other!.stop();
  rmSync(second, { recursive: true });
  symlinkSync(spool, second);
  holder!.pause();
  try {
    await expect(other!.start()).rejects.toThrow("in use by another process");
  } finally {
    holder!.resume();
  }
  expect(1 + admitted(await spendAt(HOLDER, key))).toBe(N);
});

test("where nothing kept it from it, units would be admitted twice", async () => {
  const { root, replicas } = system();
  const [holder, other] = replicas.map(({ process }) => process);
  const { id, key } = await keyWithQuota("Two on one spool");
  await askUntilValid(root, HOLDER, { key });
  const { leased } = await bucketOf(root, id);
  holder!.pause();
  try {
    for (const file of ["lock.db", "lock.db-journal"]) rmSync(join(spool, file), { force: true });
    await other!.start();
    // Else the holder would find itself called back when it goes on.
    await until("what it held is given back", async () => (await bucketOf(root, id)).leased === 0);
    expect(1 + admitted(await spendAt(SECOND, key))).toBe(N);
  } finally {
    holder!.resume();
  }
  const again = await ask(root, HOLDER, { key });
  measured("two processes on one spool (negative control)", {
    leased,
    "beyond all that there was": again.code,
  });
  expect(again.code).toBe("VALID");
});
