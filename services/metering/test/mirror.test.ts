import { hashSecret } from "@gatehouse/keys";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const team = identity.account(organization, "team");
const root = identity.key(identity.root);
const master = identity.key(organization);
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

const listed = (key: TestKey, account: string) =>
  metering.limits(key).listLimits({ node: { case: "account", value: account } }, { timeoutMs });
const setRate = (meter: string, account = team.id) =>
  metering.limits(master).setLimit(
    {
      node: { case: "account", value: account },
      meter,
      allowance: { case: "rate", value: { units: 5n, interval: { seconds: 1n, nanos: 0 } } },
    },
    { timeoutMs },
  );

test("an account is found by every slug that it has or had", async () => {
  identity.change({ ...organization, slug: "acme-global", formerSlugs: ["acme"] });
  identity.change({ ...team, slug: "squad", formerSlugs: ["team", "crew"] });
  await metering.follower.prove();
  for (const slug of ["squad", "team", "crew", "acme", "acme-global"]) {
    await expect(listed(master, slug)).resolves.toMatchObject({ limits: [] });
  }
  for (const path of ["acme", "acme-global", "acme/team", "acme-global/squad", "acme/crew"]) {
    await expect(listed(root, path)).resolves.toMatchObject({ limits: [] });
  }
  for (const path of ["acme/acme", "squad", "team/squad", "acme-global/nobody"]) {
    await expect(listed(root, path)).rejects.toMatchObject({ code: "NOT_FOUND" });
  }
});

test("an organization's slugs, former ones too, mean it before any below it that has the same", async () => {
  identity.change({ ...organization, slug: "acme-global", formerSlugs: ["acme"] });
  const namesake = identity.account(organization, "acme");
  identity.change({ ...namesake, formerSlugs: ["acme-global"] });
  await metering.follower.prove();
  // A master key sets no limits of its own account: told so, it was understood to name that.
  for (const account of ["acme", "acme-global"]) {
    await expect(setRate("requests", account)).rejects.toMatchObject({ reason: "OWN_CEILING" });
  }
  await expect(listed(root, "acme/acme")).resolves.toMatchObject({ limits: [] });
  identity.change({ ...namesake, slug: "namesake", formerSlugs: [] });
});

test("a key holds what a role of its account says now", async () => {
  const counter = identity.key(organization, "ACCOUNT", undefined, ["counter"]);
  const denied = { code: "PERMISSION_DENIED", reason: "SCOPE_DENIED" };
  await expect(listed(counter, organization.id)).rejects.toMatchObject(denied);
  const roles = new Map([["counter", ["gatehouse.limits.read"]]]);
  identity.change({ ...organization, roles });
  await metering.follower.prove();
  await expect(listed(counter, organization.id)).resolves.toMatchObject({ limits: [] });
  identity.change({ ...organization, roles, scopeCeiling: ["!gatehouse.limits.read"] });
  await metering.follower.prove();
  await expect(listed(counter, organization.id)).rejects.toMatchObject(denied);
  identity.change(organization);
});

test("a deleted meter is none, until it is declared again", async () => {
  const noMeter = { code: "INVALID_ARGUMENT" };
  identity.meter("tokens");
  await metering.follower.prove();
  await expect(setRate("tokens")).resolves.toBeDefined();
  identity.deleteMeter("tokens");
  await metering.follower.prove();
  await expect(setRate("tokens")).rejects.toMatchObject(noMeter);
  identity.meter("tokens");
  await metering.follower.prove();
  await expect(setRate("tokens")).resolves.toBeDefined();
});

test("an imported key is told by its hash, where it begins as imported keys do", async () => {
  const imported = identity.key(organization);
  const presented = ["legacy_one", "other_one"] as const;
  const rules = { types: new Map(), terms: [], importPrefixes: ["legacy_"] };
  identity.change({ ...identity.root, providerRules: rules });
  const retiringHashes = [{ hash: hashSecret("legacy_retiring"), untilMs: Date.now() + 60_000 }];
  const hashes = { secretHashes: presented.map(hashSecret), retiringHashes };
  identity.put({ ...imported, ...hashes });
  await metering.follower.prove();
  const as = (credential: string) => listed({ ...imported, presented: credential }, organization.id);
  // The prefixes are read once a second.
  await vi.waitFor(() => as("legacy_one"), { timeout: 5000 });
  await expect(as("legacy_retiring")).resolves.toBeDefined();
  const none = { code: "UNAUTHENTICATED", reason: "CREDENTIAL_INVALID" };
  await expect(as("other_one")).rejects.toMatchObject(none);
  await expect(as("legacy_two")).rejects.toMatchObject(none);
  identity.put({ ...imported, secretHashes: [], status: "REVOKED" });
  await metering.follower.prove();
  await expect(as("legacy_one")).rejects.toMatchObject(none);
});
