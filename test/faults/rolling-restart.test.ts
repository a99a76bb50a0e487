import { AuthzService, DecisionCode } from "@gatehouse/proto/authz";
import { Window } from "@gatehouse/proto/metering";
import { type Failure, grpcClient } from "@gatehouse/service";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { arrivedUsage, bucketOf, sum } from "./books.ts";

const CALLERS = 16;
const UNITS = 1_000_000n;
/** A client is to try again what was answered UNAVAILABLE; it says that nobody took the call. */
const MAX_TRIES = 5;

const environment = { GATEHOUSE_DRAIN_DELAY: "300ms" };
const system = useSystem({
  replicas: [{ environment }, { environment: { ...environment, GATEHOUSE_WORKERS: "2" } }],
});

/** Callers that ask on and on over both replicas until they are stopped; what they were told, and how often they retried. */
async function startCallers(name: string) {
  const { root, replicas } = system();
  const made = await makeOrganization(system(), name);
  const allowance = { case: "quota", value: { units: UNITS, window: Window.NEVER } } as const;
  await root.limits.setLimit({ node: { case: "account", value: made.id }, allowance }, timely);
  const addresses = replicas.map(({ process }) => process.grpcAddress);
  const headers = { "x-api-key": root.secret };
  const clients = Array.from({ length: CALLERS }, () =>
    grpcClient(AuthzService, `ipv4:${addresses.join(",")}`, { headers }),
  );
  const codes: Record<string, number> = {};
  const seen = { made, codes, retried: 0 };
  let stopping = false;
  const ask = async (client: (typeof clients)[number]) => {
    for (let attempt = 1; ; attempt++) {
      try {
        const { code } = await client.verify({ key: made.key.secret }, timely);
        return DecisionCode[code];
      } catch (error) {
        const { code, message } = error as Failure;
        if (code !== "UNAVAILABLE" || attempt === MAX_TRIES) return `${code}: ${message}`;
        seen.retried++;
      }
    }
  };
  const load = clients.map(async (client) => {
    while (!stopping) {
      const code = await ask(client);
      codes[code] = (codes[code] ?? 0) + 1;
    }
  });
  const stop = async () => {
    stopping = true;
    await Promise.all(load);
    for (const client of clients) client.close();
  };
  return { seen, stop };
}

async function untilAdmitted({ codes }: { readonly codes: Readonly<Record<string, number>> }, count: number) {
  const before = codes.VALID ?? 0;
  await until(`${count} calls more are admitted`, () => (codes.VALID ?? 0) > before + count);
}

test("a rolling restart loses no call, charges none twice, and leaves nothing lent", {
  timeout: 90_000,
}, async () => {
  const { root, replicas } = system();
  const { seen, stop } = await startCallers("Rolling");
  try {
    await untilAdmitted(seen, 1000);
    for (const { process } of replicas) {
      await process.stop();
      await process.start();
      await untilAdmitted(seen, 1000);
    }
  } finally {
    await stop();
  }
  const { made, codes, retried } = seen;
  measured("rolling restart of two replicas under load", { codes, retried });
  expect(Object.keys(codes)).toEqual(["VALID"]);
  await Promise.all(replicas.map(({ process }) => process.stop()));
  // The last batch may have been cut off from its answer by the bound on stopping, and is booked all the same.
  await until("nothing is lent", async () => {
    expect(await bucketOf(root, made.id)).toMatchObject({ used: codes.VALID, leased: 0 });
    return true;
  });
  expect(sum((await arrivedUsage(made.master, made.id, codes.VALID!)).values())).toBe(codes.VALID);
  const said = replicas.flatMap(({ process }) =>
    process.log.filter((line) => /closing failed|did not end/.test(line)),
  );
  expect(said).toEqual([]);
  await Promise.all(replicas.map(({ process }) => process.start()));
});

test("replicas that are killed leave what they held lent, and the same look sees it", {
  timeout: 60_000,
}, async () => {
  const { root, replicas } = system();
  const { seen, stop } = await startCallers("Killed");
  try {
    await untilAdmitted(seen, 1000);
  } finally {
    await stop();
  }
  await Promise.all(replicas.map(({ process }) => process.kill()));
  const { used, leased } = await bucketOf(root, seen.made.id);
  measured("negative control, both replicas killed", { admitted: seen.codes.VALID, used, leased });
  expect(leased).toBeGreaterThan(0);
});
