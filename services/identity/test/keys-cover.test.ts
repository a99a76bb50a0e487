import { KeyStatus, SigningAlgorithm } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let acme: Caller;
let names = 0;

beforeAll(async () => {
  system = await startSystem();
  acme = system.as((await system.root.accounts.createAccount({ name: "Acme" }, timely)).secret);
});
afterAll(() => system?.stop());

async function newKey(rest: object, by = acme) {
  const { key, secret } = await by.keys.createKey({ name: `key ${names++}`, ...rest }, timely);
  return { id: key!.id, as: system.as(secret) };
}

describe("enabling a key", () => {
  it("takes what making it would take: disabling it was no favour to undo", async () => {
    const administrator = await newKey({ roles: ["administrator"] });
    const worker = await newKey({ scopes: ["orders.**"] });
    const weak = (await newKey({ scopes: ["gatehouse.keys.enable", "gatehouse.keys.disable"] })).as;
    for (const { id } of [administrator, worker]) await weak.keys.disableKey({ key: id }, timely);
    expect(await reasonOf(weak.keys.enableKey({ key: administrator.id }, timely))).toBe(
      "GRANT_EXCEEDS_HOLDER",
    );
    expect(await reasonOf(administrator.as.keys.listKeys({}, timely))).toBe("KEY_DISABLED");
    const { key } = await weak.keys.enableKey({ key: worker.id }, timely);
    expect(key!.status).toBe(KeyStatus.ENABLED);
    expect(await reasonOf(acme.keys.enableKey({ key: administrator.id }, timely))).toBe("OK");
  });
});

describe("lifting what watches over a key", () => {
  it("takes its cover; laying it on, or closer, takes none", async () => {
    const signing = { algorithm: SigningAlgorithm.HMAC_SHA256, strictReplay: true };
    const { id: key } = await newKey({ roles: ["administrator"], signing, requireHeartbeat: true });
    const weak = (await newKey({ scopes: ["gatehouse.keys.update"] })).as;
    const strict = { key, strictReplay: true, requireHeartbeat: true, heartbeatTimeout: { seconds: 9n } };
    expect(await reasonOf(weak.keys.updateKey(strict, timely))).toBe("OK");
    const lifted = [
      { updateMask: { paths: ["strict_replay"] } },
      { updateMask: { paths: ["require_heartbeat"] } },
      { heartbeatTimeout: { seconds: 10n } },
    ];
    for (const lift of lifted) {
      expect(await reasonOf(weak.keys.updateKey({ key, ...lift }, timely))).toBe("GRANT_EXCEEDS_HOLDER");
      expect(await reasonOf(acme.keys.updateKey({ key, ...lift }, timely))).toBe("OK");
      expect(await reasonOf(weak.keys.updateKey(strict, timely))).toBe("OK");
    }
  });
});

describe("a personal key", () => {
  it("has sub-keys made and rotated by its holder only", async () => {
    const { token } = await acme.members.invite(
      { email: "dev@acme.example", roles: ["administrator"] },
      timely,
    );
    const accept = { token, subject: "dev@idp" };
    const { key: personal, secret } = await system.root.members.acceptInvitation(accept, timely);
    const holder = system.as(secret);
    const below = (by: Caller) =>
      by.keys.createKey({ parentKey: personal!.id, name: `sub ${names++}` }, timely);
    const sub = (await below(holder)).key!.id;
    expect(await reasonOf(below(acme))).toBe("KEY_KIND_DENIED");
    expect(await reasonOf(acme.keys.rotateKey({ key: sub }, timely))).toBe("KEY_KIND_DENIED");
    expect(await reasonOf(holder.keys.rotateKey({ key: sub }, timely))).toBe("OK");
  });
});
