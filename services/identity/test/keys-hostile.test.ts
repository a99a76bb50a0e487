import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type System, startSystem } from "./system.ts";

let system: System;
let keyId: string;

beforeAll(async () => {
  system = await startSystem();
  const { body } = await system.json(system.rootKey, "KeyService/CreateKey", { name: "target" });
  keyId = JSON.parse(body).key.id;
});
afterAll(() => system?.stop());

const nasty = fc.constantFrom(
  "",
  " ",
  "\u0000",
  "a\u202eb",
  "\ud800",
  "__proto__",
  "x".repeat(100_000),
  "10.0.0.0/99",
  "::/0/0",
  "999.1.1.1",
  "**.a",
  "!",
  "'; DROP TABLE key",
  "漢字",
);
const texts = fc.oneof(
  fc.array(nasty, { maxLength: 4 }),
  fc.constant(Array.from({ length: 600 }, () => "a")),
);
const span = fc.constantFrom("-1s", "0s", "0.000000001s", "86400s", "315576000000s", "-315576000000s");
const time = fc.constantFrom("1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z");
const asked = fc.record(
  {
    name: nasty,
    roles: texts,
    scopes: texts,
    labels: fc.dictionary(nasty, nasty, { maxKeys: 3 }),
    endpoints: texts,
    ipAllow: texts,
    ipDeny: texts,
    deniedIntegrations: texts,
    notBefore: time,
    expiresAt: time,
    requireHeartbeat: fc.boolean(),
    heartbeatTimeout: span,
  },
  { requiredKeys: [] },
);
const signing = fc.record(
  { algorithm: fc.constantFrom(0, 1, 4, 99), publicKey: nasty, strictReplay: fc.boolean() },
  { requiredKeys: [] },
);
const mask = fc.constantFrom(
  "name",
  "ipAllow,expiresAt",
  "id",
  "strictReplay",
  "x".repeat(10_000),
  "labels,,",
);

/** What may become of nonsense: it is done where it is none, or refused with a name; nothing falls over. */
async function isAnswered(method: string, body: object): Promise<void> {
  const { status, body: answer } = await system.json(system.rootKey, `KeyService/${method}`, body);
  expect([200, 400, 404, 409], `${method} ${answer.slice(0, 300)}`).toContain(status);
  expect(answer).not.toMatch(/INTERNAL|Error:|at .*\.ts/);
}

describe("hostile requests", () => {
  it("to create a key are made or refused by field", async () => {
    const request = fc.record({ asked, signing: fc.option(signing, { nil: undefined }) });
    await fc.assert(
      fc.asyncProperty(request, ({ asked, signing }) => isAnswered("CreateKey", { ...asked, signing })),
      { numRuns: 150 },
    );
  });

  it("to update a key are made or refused by field", async () => {
    const request = fc.record({ asked, updateMask: mask, strictReplay: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(request, ({ asked, ...rest }) =>
        isAnswered("UpdateKey", { key: keyId, ...asked, ...rest }),
      ),
      { numRuns: 150 },
    );
  });

  it("to rotate a key or list keys are made or refused by field", async () => {
    await fc.assert(
      fc.asyncProperty(nasty, nasty, span, time, async (key, publicKey, grace, unusedSince) => {
        await isAnswered("RotateKey", { key, publicKey, grace });
        await isAnswered("RotateKey", { key: keyId, publicKey, grace });
        await isAnswered("ListKeys", { account: key, unusedSince, pageToken: publicKey });
      }),
      { numRuns: 50 },
    );
  });
});
