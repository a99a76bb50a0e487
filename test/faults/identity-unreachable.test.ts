import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import type { Link } from "../system/link.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { until, untilMs } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { type Answer, ask, countCodes, startLoad } from "../system/verifying.ts";

const BOUND_MS = 1000;
const STALENESS_MAX_MS = 3000;
/** A call may be answered a little after the moment that its staleness speaks of. */
const ROUNDING_MS = 1;

const environment = { GATEHOUSE_STALENESS_MAX: "3s" };
const system = useSystem({ replicas: [{ environment }, { environment }] });

test.each([
  { state: "cut", breakLink: (link: Link) => link.cut() },
  { state: "hung", breakLink: (link: Link) => link.hang() },
])(
  "a replica whose link to identity is $state says how stale it is, then that it does not know, and recovers",
  async ({ state, breakLink }) => {
    const { root, replicas } = system();
    const link = replicas[0]!.links.identity;
    const { master, subaccounts } = await makeOrganization(system(), `Link ${state}`, ["kept", "revoked"]);
    const [kept, revoked] = [subaccounts[0]!.key, subaccounts[1]!.key];
    for (const { secret } of [kept, revoked]) {
      expect((await ask(root, 0, { key: secret })).code).toBe("VALID");
    }

    breakLink(link);
    const brokenMs = performance.now();
    const load = startLoad(2, (caller) => ask(root, 0, { key: (caller === 0 ? kept : revoked).secret }));
    try {
      await master.keys.revokeKey({ key: revoked.id }, timely);
      const committedMs = performance.now();
      await untilMs(committedMs + STALENESS_MAX_MS + 1000);
      const answers = [...(await load.stop())];
      const valid = answers.filter(({ code }) => code === "VALID");
      const late = answers.filter(({ sentMs }) => sentMs > committedMs + STALENESS_MAX_MS);
      measured(`identity's link: ${state}`, {
        codes: countCodes(answers),
        "greatest staleness of a VALID, ms": Math.max(...valid.map(({ stalenessMs }) => stalenessMs)),
        "last VALID sent after the break, ms": Math.max(...valid.map(({ sentMs }) => sentMs)) - brokenMs,
      });
      // Served from the cache well past the bound of freshness, and every answer says so.
      const stale = valid.filter(({ stalenessMs }) => stalenessMs > BOUND_MS);
      expect(stale.length).toBeGreaterThan(0);
      expect(valid.filter((answer) => isUnderstated(answer, brokenMs))).toEqual([]);
      expect(valid.filter(({ stalenessMs }) => stalenessMs > STALENESS_MAX_MS)).toEqual([]);
      expect(valid.filter(({ sentMs }) => sentMs > committedMs + STALENESS_MAX_MS)).toEqual([]);
      // Not knowing is no denial: nobody is told that the key is gone, or anything else about it. Who asks with a
      // key of their own is told that of this key already.
      expect(late.filter((answer) => !saysItDoesNotKnow(answer))).toEqual([]);
      expect(new Set(late.map(({ key }) => key)).size).toBe(2);
      // Only this replica's link is broken.
      expect((await ask(root, 1, { key: kept.secret })).code).toBe("VALID");
      expect((await ask(root, 1, { key: revoked.secret })).code).toBe("NOT_FOUND");
    } finally {
      await load.stop();
      link.mend();
    }

    const mendedMs = performance.now();
    const back = await until("the replica is fresh again", async () => {
      const answer = await ask(root, 0, { key: kept.secret });
      return answer.code === "VALID" && answer.stalenessMs <= BOUND_MS && answer;
    });
    measured(`identity's link mended after ${state}`, { "fresh after ms": back.sentMs - mendedMs });
    expect((await ask(root, 0, { key: revoked.secret })).code).toBe("NOT_FOUND");
  },
);

// Since the break nothing can have been proven, so the state is at least as old as the break.
function isUnderstated({ stalenessMs, sentMs }: Answer, brokenMs: number): boolean {
  return stalenessMs + ROUNDING_MS < sentMs - brokenMs;
}

function saysItDoesNotKnow({ code }: Answer): boolean {
  return code === "INDETERMINATE";
}
