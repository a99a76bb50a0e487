import { join } from "node:path";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { useSystem } from "../system/use-system.ts";
import { ask } from "../system/verifying.ts";
import { staleAnswers, watchChange } from "./watch-change.ts";

const BOUND_MS = 1000;

const system = useSystem({
  replicas: [{}, { main: join(import.meta.dirname, "../system/unfollowed-authz.ts") }],
});

test("a replica that does not follow identity is caught answering VALID after a revocation", async () => {
  const { master, subaccounts } = await makeOrganization(system(), "Unfollowed", ["team"]);
  const { key } = subaccounts[0]!;
  const change = () => master.keys.revokeKey({ key: key.id }, timely);
  const watched = await watchChange(system(), { key: key.secret, change, forMs: BOUND_MS + 300 });
  const stale = staleAnswers(watched, BOUND_MS);
  measured("negative control", { "VALID past the bound": stale.length });
  expect(stale.filter(({ replica }) => replica === 0)).toEqual([]);
  expect(stale.filter(({ replica }) => replica === 1).length).toBeGreaterThan(0);

  // Even there the token binds: it is the caller's own proof.
  const shown = { key: key.secret, atLeastAsFresh: [watched.freshness] };
  expect((await ask(system().root, 1, shown)).code).toBe("NOT_FOUND");
});
