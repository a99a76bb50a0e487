import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Change, Store } from "../src/domain/store.ts";
import { type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let acme: Caller;
let globex: Caller;
let names = 0;
/** Runs once, in the next import that has seen which credentials are taken. */
let meanwhile: (() => Promise<unknown>) | undefined;

function staged(change: Change): Change {
  const { imported } = change;
  return {
    ...change,
    imported: {
      find: (hashes) => imported.find(hashes),
      prefixes: () => imported.prefixes(),
      insert: (keys) => imported.insert(keys),
      retire: (hashes, at) => imported.retire(hashes, at),
      async taken(...asked) {
        const taken = await imported.taken(...asked);
        const run = meanwhile;
        meanwhile = undefined;
        await run?.();
        return taken;
      },
    },
  };
}

beforeAll(async () => {
  const wrapStore = (store: Store): Store => ({
    ...store,
    recordRefusal: (event) => store.recordRefusal(event),
    change: (work) => store.change((change) => work(staged(change))),
  });
  system = await startSystem({ wrapStore });
  await system.sql.query("UPDATE account SET import_prefixes = '{pk_}' WHERE parent_id IS NULL");
  const organization = async (name: string) =>
    system.as((await system.root.accounts.createAccount({ name }, timely)).secret);
  [acme, globex] = [await organization("Acme"), await organization("Globex")];
});
afterAll(() => system?.stop());

function importing(caller: Caller, secret: string) {
  const hash = createHash("sha256").update(secret).digest("hex");
  return caller.keys.importKeys({ keys: [{ hash, prefix: "pk_", name: `import ${names++}` }] }, timely);
}

describe("a credential that two import at once", () => {
  it.each<[string, (keyId: string) => Promise<unknown>]>([
    ["and one has", async () => {}],
    ["and one has had", (key) => globex.keys.revokeKey({ key }, timely)],
  ])("%s is not the other's", async (_, then) => {
    const secret = `pk_${randomBytes(16).toString("hex")}`;
    meanwhile = async () => then((await importing(globex, secret)).keys[0]!.id);
    expect(await reasonOf(importing(acme, secret))).toBe("CREDENTIAL_TAKEN");
    expect(meanwhile).toBeUndefined();
  });
});
