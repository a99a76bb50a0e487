import { ControlService } from "@gatehouse/proto/metering";
import { createLog, type Route, route, serve } from "@gatehouse/service";
import { afterEach, expect, test } from "vitest";
import { MeteringRates } from "./metering-rates.ts";

const SECRET = "a service secret of thirty-two characters";
const PATH = ["key_1", "acc_1", "acc_0"];
const log = createLog({ name: "test", level: "silent" });
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

/** A metering that answers as it is told, and counts questions. */
async function metering(answer: () => { limitId?: string; freeFor?: { seconds: bigint } } | Promise<never>) {
  const asked: string[] = [];
  const control: Route<undefined> = route<typeof ControlService, undefined>(ControlService, {
    async chargeCall({ scope }) {
      asked.push(scope);
      return answer();
    },
  });
  const address = { host: "127.0.0.1", port: 0 };
  const guard = () => () => undefined;
  const server = await serve({ grpc: address, http: address, routes: [control], guard, log, graceMs: 0 });
  server.setServing(true);
  opened.push(server);
  return { address: server.grpcAddress, asked };
}

function ratesAt(address: string | undefined) {
  const time = { ms: 0 };
  const rates = new MeteringRates(
    () => address,
    SECRET,
    () => time.ms,
  );
  opened.push(rates);
  return { rates, time };
}

test("a path that has no rates is not asked about again for as long as metering said", async () => {
  const { address, asked } = await metering(() => ({ freeFor: { seconds: 1n } }));
  const { rates, time } = ratesAt(address);
  for (let i = 0; i < 3; i++) expect(await rates.charge(PATH, "gatehouse.keys.create")).toBeUndefined();
  expect(asked).toHaveLength(1);
  await rates.charge(["key_2", "acc_1"], "gatehouse.keys.create");
  expect(asked).toHaveLength(2);
  time.ms = 1000;
  await rates.charge(PATH, "gatehouse.keys.update");
  expect(asked).toEqual(["gatehouse.keys.create", "gatehouse.keys.create", "gatehouse.keys.update"]);
});

test("a path with rates is charged for each call, and told which is used up", async () => {
  let limitId = "";
  const { address, asked } = await metering(() => ({ limitId }));
  const { rates } = ratesAt(address);
  for (let i = 0; i < 3; i++) expect(await rates.charge(PATH, "gatehouse.keys.create")).toBeUndefined();
  limitId = "lim_1";
  expect(await rates.charge(PATH, "gatehouse.keys.create")).toMatchObject({ limitId: "lim_1" });
  expect(asked).toHaveLength(4);
});

test("where metering does not answer calls pass, and only the first of a second waits for it", async () => {
  const { address, asked } = await metering(() => new Promise<never>(() => {}));
  const { rates, time } = ratesAt(address);
  for (let i = 0; i < 5; i++) expect(await rates.charge(PATH, "gatehouse.keys.create")).toBeUndefined();
  expect([asked.length, rates.unchargedCalls]).toEqual([1, 5]);
  time.ms = 1000;
  await rates.charge(PATH, "gatehouse.keys.create");
  expect(asked).toHaveLength(2);
});

test("without a metering nothing is charged", async () => {
  const { rates } = ratesAt(undefined);
  expect(await rates.charge(PATH, "gatehouse.keys.create")).toBeUndefined();
  expect(rates.unchargedCalls).toBe(0);
});
