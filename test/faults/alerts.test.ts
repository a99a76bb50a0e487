import { startReceiver } from "@gatehouse/events/test-receiver";
import { DecisionCode } from "@gatehouse/proto/authz";
import { Window } from "@gatehouse/proto/metering";
import { afterAll, beforeAll, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}, {}], environment: { GATEHOUSE_WEBHOOK_INSECURE: "true" } });
let receiver: Awaited<ReturnType<typeof startReceiver>>;

beforeAll(async () => {
  receiver = await startReceiver();
});
afterAll(() => receiver?.stop());

const UNITS = 400;
const SHARES = [0.25, 0.5, 0.75, 1];
const CALLERS = 4;
const KILLS = 3;

test("marks of a limit are told of once each while metering is killed again and again", async () => {
  const { root, json, metering } = system();
  const organization = await makeOrganization(system(), "Alerted", ["one", "two"]);
  const { limit } = await root.limits.setLimit(
    {
      node: { case: "account", value: organization.id },
      allowance: { case: "quota", value: { units: BigInt(UNITS), window: Window.NEVER } },
    },
    timely,
  );
  const ask = async (method: string, body: object) => {
    const answer = await json(organization.key.secret, `metering.v1.AlertService/${method}`, body);
    expect(answer.status, answer.text).toBe(200);
    return answer.body;
  };
  const alerts: string[] = [];
  for (const share of SHARES) {
    const wanted = { name: `at ${share}`, limit: { limit: limit!.id, share }, webhook_url: receiver.url };
    alerts.push((await ask("CreateAlert", wanted)).alert.id);
  }

  let admitted = 0;
  const caller = async (n: number) => {
    const key = organization.subaccounts[n % 2]!.key.secret;
    for (;;) {
      const { code } = await root.authz[n % 2]!.verify({ key }, timely);
      if (code === DecisionCode.VALID) admitted++;
      else if (code === DecisionCode.QUOTA_EXCEEDED) return;
      else expect(DecisionCode[code]).toBe("INDETERMINATE");
    }
  };
  const calling = Promise.all(Array.from({ length: CALLERS }, (_, n) => caller(n)));
  for (let kills = 1; kills <= KILLS; kills++) {
    await until("more is admitted", () => admitted > (UNITS / (KILLS + 2)) * kills);
    await metering.kill();
    await metering.start();
  }
  await calling;
  expect(admitted).toBe(UNITS);

  const usedUpMs = performance.now();
  const told = () => Map.groupBy(receiver.received, ({ body }) => body.subject);
  await until("all is told of", () => alerts.every((alert) => told().has(alert)));
  const toldMs = performance.now() - usedUpMs;
  // What is sent twice, since the word that it was taken was lost, is the same event.
  for (const [i, alert] of alerts.entries()) {
    const { deliveries } = await ask("ListAlertDeliveries", { alert });
    expect(deliveries).toHaveLength(1);
    const events = told().get(alert)!;
    expect(new Set(events.map(({ body }) => body.id))).toEqual(new Set([deliveries[0].eventId]));
    const { value, threshold } = events[0]!.body.data as { value: number; threshold: number };
    expect(threshold).toBe(UNITS * SHARES[i]!);
    expect(value).toBeGreaterThanOrEqual(threshold);
  }
  measured("alerts through kills", { admitted, events: receiver.received.length, toldMs });
}, 120_000);
