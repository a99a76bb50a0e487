import { newEncryptionKey, parseEncryptionKey } from "@gatehouse/keys";
import { Window } from "@gatehouse/proto/metering";
import type { Failure } from "@gatehouse/service/failure";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type Alerting, patiently, startAlerting, timely } from "./alerting.ts";
import { ENCRYPTION_KEY, startMetering } from "./fixture.ts";

let system: Alerting;

beforeAll(async () => {
  system = await startAlerting(1, { insecureWebhooks: false });
});
afterAll(() => system?.stop());

const subject = { case: "usage", value: { amount: 1n, window: Window.DAY } } as const;

test("http is no webhook's address unless the deployment says so", async () => {
  const { create } = await system.organization();
  const fields = await create({ subject }).then(
    () => [],
    ({ violations }: Failure) => violations.map(({ field }) => field),
  );
  expect(fields).toEqual(["webhook_url"]);
});

test.each([
  ["https://localhost:1/", "the receiver has no public address"],
  ["https://127.0.0.1:1/", "the receiver is no public address"],
  ["https://[::ffff:10.0.0.1]/", "the receiver is no public address"],
])("%s is refused when it is connected to", async (webhookUrl, lastError) => {
  const { create, book, master } = await system.organization();
  const alert = await create({ subject, webhookUrl });
  await book({ minute: BigInt(Math.floor(Date.now() / 60_000)), units: 1n });
  await vi.waitFor(async () => {
    const alerts = system.metering.alerts(master);
    const { deliveries } = await alerts.listAlertDeliveries({ alert: alert.id }, timely);
    expect(deliveries).toMatchObject([{ attempts: 1, lastError }]);
  }, patiently);
});

test("secrets are sealed with the current encryption key by whoever has it first", async () => {
  const { create } = await system.organization();
  const alert = await create({ subject, webhookUrl: "https://example.com/" });
  const { identity, postgres, metering } = system;
  const sealed = async () =>
    (
      await metering.query<{ sealed_secret: string }>("SELECT sealed_secret FROM webhook WHERE name = $1", [
        alert.id,
      ])
    )[0]!.sealed_secret;
  expect(await sealed()).toMatch(/^s1\.1\./);
  const encryptionKeys = [parseEncryptionKey(newEncryptionKey("2")), ENCRYPTION_KEY];
  const rotating = await startMetering(postgres.url, identity, {}, { encryptionKeys });
  try {
    await vi.waitFor(async () => expect(await sealed()).toMatch(/^s1\.2\./), patiently);
  } finally {
    await rotating.stop();
  }
});
