import { describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { type HeldKey, makeOrganization, makeSubKey } from "../system/organization.ts";
import type { System } from "../system/system.ts";
import { untilMs } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { ask, countCodes } from "../system/verifying.ts";
import { lastValidMs, staleAnswers, type WatchedChange, watchChange } from "./watch-change.ts";

/** P1. */
const BOUND_MS = 1000;
const WATCH_MS = 1500;

interface Way {
  readonly name: string;
  /** What calls are answered afterwards. */
  readonly code: string;
  /** A key, and what stops it. */
  prepare(system: System, name: string): Promise<{ key: HeldKey; change: () => Promise<Changed> }>;
}

interface Changed {
  readonly freshness: string;
}

const ways: readonly Way[] = [
  {
    name: "revoking a key",
    code: "NOT_FOUND",
    async prepare(system, name) {
      const { master, subaccounts } = await makeOrganization(system, name, ["team"]);
      const { key } = subaccounts[0]!;
      return { key, change: () => master.keys.revokeKey({ key: key.id }, timely) };
    },
  },
  {
    name: "disabling the parent of a sub-key",
    code: "DISABLED",
    async prepare(system, name) {
      const { master, subaccounts } = await makeOrganization(system, name, ["team"]);
      const parent = subaccounts[0]!.key.id;
      const key = await makeSubKey(master, parent, "bot");
      return { key, change: () => master.keys.disableKey({ key: parent }, timely) };
    },
  },
  {
    name: "suspending the organization above a subaccount",
    code: "ACCOUNT_SUSPENDED",
    async prepare(system, name) {
      const { id, subaccounts } = await makeOrganization(system, name, ["team"]);
      const { key } = subaccounts[0]!;
      const request = { account: id, reason: "ABUSE" };
      return { key, change: () => system.root.accounts.suspendAccount(request, timely) };
    },
  },
];

const system = useSystem();

function report(what: string, watched: WatchedChange): void {
  measured(what, {
    "last VALID sent after the commit's answer, ms": [0, 1].map((i) => Math.round(lastValidMs(watched, i))),
    codes: countCodes(watched.answers),
  });
}

function expectRefused(watched: WatchedChange, code: string): void {
  expect(staleAnswers(watched, BOUND_MS)).toEqual([]);
  for (const replica of [0, 1]) {
    const late = watched.answers.filter(
      (answer) => answer.replica === replica && answer.sentMs > watched.committedMs + BOUND_MS,
    );
    expect(Object.keys(countCodes(late)), `replica ${replica}`).toEqual([code]);
  }
}

test.each(ways)("$name stops it on both replicas within a second", async ({ name, code, prepare }) => {
  const { key, change } = await prepare(system(), `with nats ${code}`);
  const watched = await watchChange(system(), { key: key.secret, change, forMs: WATCH_MS });
  report(`${name}, NATS running`, watched);
  expectRefused(watched, code);
});

test("a NATS that hangs holds up neither a revocation nor its effect", async () => {
  const { identityLinks, meteringLinks, replicas } = system();
  const links = [identityLinks.nats, meteringLinks.nats, ...replicas.map(({ links }) => links.nats)];
  const { key, change } = await ways[0]!.prepare(system(), "hung nats");
  for (const link of links) link.hang();
  try {
    const watched = await watchChange(system(), { key: key.secret, change, forMs: WATCH_MS });
    report("revoking a key, NATS hung", watched);
    expectRefused(watched, "NOT_FOUND");
  } finally {
    for (const link of links) link.mend();
  }
});

test("a replica that was stopped across a revocation does not answer from before it", async () => {
  const { root, replicas } = system();
  const { key, change } = await ways[0]!.prepare(system(), "stopped");
  const paused = replicas[0]!.process;
  for (const replica of [0, 1]) expect((await ask(root, replica, { key: key.secret })).code).toBe("VALID");
  paused.pause();
  try {
    await change();
    const committedMs = performance.now();
    const asked = (count: number) => Array.from({ length: count }, () => ask(root, 0, { key: key.secret }));
    const waiting = asked(10);
    await untilMs(committedMs + BOUND_MS + 200);
    waiting.push(...asked(10));
    await untilMs(committedMs + BOUND_MS + 300);
    paused.resume();
    const answers = [...(await Promise.all(waiting)), ...(await Promise.all(asked(10)))];
    measured("stopped for 1.3 s across a revocation", { codes: countCodes(answers) });
    expect(answers.filter(({ code }) => code === "VALID")).toEqual([]);
    // A replica that finds itself out of date asks; it does not shrug.
    expect(answers.at(-1)!.code).toBe("NOT_FOUND");
  } finally {
    paused.resume();
  }
});

describe("without NATS", () => {
  test.each(ways)("$name stops it on both replicas within a second", async ({ name, code, prepare }) => {
    const { key, change } = await prepare(system(), `without nats ${code}`);
    await system().nats.kill();
    try {
      const watched = await watchChange(system(), { key: key.secret, change, forMs: WATCH_MS });
      report(`${name}, NATS killed`, watched);
      expectRefused(watched, code);
    } finally {
      await system().nats.restart();
    }
  });

  test.each(ways)("$name stops at once who shows its freshness token", async ({ code, prepare }) => {
    const { key, change } = await prepare(system(), `token ${code}`);
    await system().nats.kill();
    try {
      for (const replica of [0, 1]) {
        expect((await ask(system().root, replica, { key: key.secret })).code).toBe("VALID");
      }
      const { freshness } = await change();
      const request = { key: key.secret, atLeastAsFresh: [freshness] };
      const calls = Array.from({ length: 40 }, (_, i) => ask(system().root, i % 2, request));
      const answers = await Promise.all(calls);
      expect(countCodes(answers)).toEqual({ [code]: 40 });
    } finally {
      await system().nats.restart();
    }
  });
});
