import { hashSecret, KeyFormat, newPepper, parsePepper } from "@gatehouse/keys";
import { createLog } from "@gatehouse/service";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createIdentity, readIdentityConfig } from "../src/index.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

const log = createLog({ name: "test", level: "silent" });
let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

describe("a start", () => {
  it("makes the root once: its key holds everything", async () => {
    const me = await system.root.keys.whoAmI({}, timely);
    expect(me).toMatchObject({ accountSlug: "provider", organizationId: "", key: { scopes: ["**"] } });
    expect((await system.root.meters.listMeters({}, timely)).meters.map(({ name }) => name)).toEqual([
      "requests",
    ]);
    const again = await createIdentity(readIdentityConfig(system.environment), log);
    expect(again.bootstrapped.rootKey).toBeUndefined();
    await again.ready();
    await again.close();
    await system.root.keys.whoAmI({}, timely);
  });

  it("takes a root key that is handed in, from replicas that start together", async () => {
    await system.sql.query("CREATE DATABASE other");
    const { peppers } = readIdentityConfig(system.environment);
    const { presented, keyId } = new KeyFormat({ peppers }).mint("MASTER");
    const url = new URL(system.databaseUrl);
    url.pathname = "/other";
    const environment = {
      ...system.environment,
      GATEHOUSE_DATABASE_URL: url.href,
      GATEHOUSE_ROOT_KEY: presented,
    };
    const config = readIdentityConfig(environment);
    const replicas = await Promise.all([createIdentity(config, log), createIdentity(config, log)]);
    expect(replicas.map(({ bootstrapped }) => bootstrapped.rootKey)).toEqual([undefined, undefined]);
    const changes = await replicas[0]!.changeLog.head();
    // The root account, its key, the meter, the plan: made by one of the two.
    expect(changes.revision).toBe(4);
    for (const replica of replicas) await replica.close();
    const other = new pg.Client({ connectionString: url.href });
    await other.connect();
    const { rows } = await other.query("SELECT id, kind, secret_hashes FROM identity.key");
    expect(rows).toEqual([{ id: keyId, kind: "MASTER", secret_hashes: [hashSecret(presented)] }]);
    await other.end();
  });

  it("refuses a root key of another deployment's peppers", async () => {
    await system.sql.query("CREATE DATABASE third");
    const url = new URL(system.databaseUrl);
    url.pathname = "/third";
    const foreign = new KeyFormat({ peppers: [parsePepper(newPepper("a"))] }).mint("MASTER");
    const config = readIdentityConfig({
      ...system.environment,
      GATEHOUSE_DATABASE_URL: url.href,
      GATEHOUSE_ROOT_KEY: foreign.presented,
    });
    await expect(createIdentity(config, log)).rejects.toThrow("root key");
  });

  it("a database that is gone makes every call UNAVAILABLE, and says nothing of it", async () => {
    await system.stopDatabase();
    expect(await reasonOf(system.root.keys.whoAmI({}, timely))).toBe("SOURCE_UNAVAILABLE");
    expect(await reasonOf(system.feed.getHead({}, timely))).toBe("SOURCE_UNAVAILABLE");
    await expect(system.identity.ready()).rejects.toThrow();
  });
});
