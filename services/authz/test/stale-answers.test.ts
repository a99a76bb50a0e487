import { describe, expect, test } from "vitest";
import { AttackedAuthz, LIFETIME_MS, settle } from "./attacked-authz.ts";
import { type Weakening, type WeakeningName, weakenings } from "./weakenings.ts";

/**
 * Each rule that a revocation's effect rests on, attacked at the one interleaving that it is there for: the whole never
 * answers VALID more than a second after the commit; with that rule off, the same attack finds that it does. The clock
 * and the network are scripted, because real processes meet these moments once in thousands of tries.
 */

interface Attack {
  readonly off: WeakeningName;
  /** What the whole answers. */
  readonly whole: string;
  /** Ends with a call that was sent more than a second after the commit; answers what it was answered. */
  readonly run: (authz: AttackedAuthz) => Promise<string>;
}

const BOUND_MS = 1000;

const attacks: readonly Attack[] = [
  {
    off: "takes a reply for news of when it came",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      const reply = authz.source.hold("head");
      const proof = authz.poll();
      await settle();
      revoke(authz); // identity has read its head, and not replied
      authz.pass(900);
      reply.release();
      await proof;
      authz.pass(500);
      return authz.answer("key_1");
    },
  },
  {
    off: "takes a bell for proof",
    whole: "INDETERMINATE",
    async run(authz) {
      await warm(authz);
      revoke(authz);
      authz.source.isCut = true;
      for (let second = 0; second < 15; second++) {
        authz.pass(1000);
        authz.ring(); // forged, as any bell may be
        await authz.poll();
      }
      return authz.answer("key_1");
    },
  },
  {
    off: "looks at its age when a proof ends, not when it answers",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      revoke(authz);
      authz.pass(BOUND_MS + 1); // stopped: nothing ran
      return authz.answer("key_1");
    },
  },
  {
    off: "trusts the monotonic clock alone",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      revoke(authz);
      authz.now.wallMs += 30_000; // suspended with its machine
      return authz.answer("key_1");
    },
  },
  {
    off: "trusts the wall clock alone",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      authz.now.wallMs -= 3_600_000; // set back
      revoke(authz);
      authz.pass(BOUND_MS + 1);
      return authz.answer("key_1");
    },
  },
  {
    off: "takes one proof that failed for a source out of reach",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      authz.pass(250);
      const reply = authz.source.hold("head");
      const proof = authz.poll();
      await settle();
      revoke(authz);
      authz.pass(BOUND_MS + 1); // stopped: the reply came, and the deadline is seen first
      reply.fail();
      await proof;
      return authz.answer("key_1");
    },
  },
  {
    off: "believes for ever that the source is out of reach",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      authz.source.isCut = true;
      authz.pass(500);
      for (let poll = 0; poll < 3; poll++) await authz.poll();
      authz.pass(BOUND_MS);
      await authz.answer("key_1"); // somebody hears that it is out of reach
      authz.source.isCut = false;
      revoke(authz);
      authz.pass(3000); // stopped, while identity came back
      return authz.answer("key_1");
    },
  },
  { off: "believes every fill", whole: "NOT_FOUND", run: (authz) => fillLate(authz, 0) },
  { off: "believes fills older than its ring", whole: "NOT_FOUND", run: (authz) => fillLate(authz, 65_536) },
  { off: "is told state and revision by two reads", whole: "NOT_FOUND", run: (authz) => fillLate(authz, 0) },
  {
    off: "replaces what it holds by late fills",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      const before = authz.identity.resolveKeys(["key_1"]);
      revoke(authz);
      await authz.poll();
      // From a source that lies about its revision: what is final stays all the same.
      authz.cache.fillKey("key_1", { ...before, position: authz.identity.position });
      return later(authz);
    },
  },
  {
    off: "copies accounts into keys",
    whole: "ACCOUNT_SUSPENDED",
    async run(authz) {
      await warm(authz);
      authz.identity.putAccount("acc_org", { status: "SUSPENDED" });
      return later(authz);
    },
  },
  {
    off: "keeps sub-keys whose parent key was replaced",
    whole: "DISABLED",
    async run(authz) {
      authz.identity.putKey("key_parent");
      authz.identity.putKey("key_1", { kind: "SUB", parentKeyId: "key_parent" });
      await warm(authz);
      authz.identity.putKey("key_parent", { status: "DISABLED" });
      return later(authz);
    },
  },
  {
    off: "lets entries live for ever",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      const { revision } = authz.identity.position;
      revoke(authz);
      authz.identity.log[revision] = { revision: revision + 1 }; // the log lost what the change was
      authz.pass(LIFETIME_MS);
      return later(authz);
    },
  },
  {
    off: "overlooks another incarnation",
    whole: "NOT_FOUND",
    async run(authz) {
      const { identity } = authz;
      identity.putKey("key_2");
      await warm(authz);
      identity.incarnation = "two";
      identity.log.pop();
      revoke(authz); // at a revision that the other history had used
      identity.putKey("key_2");
      return later(authz);
    },
  },
  {
    off: "overlooks a head that went backwards",
    whole: "NOT_FOUND",
    async run(authz) {
      const { identity } = authz;
      for (const id of ["key_2", "key_3", "key_4"]) identity.putKey(id);
      await warm(authz);
      identity.log.length -= 3; // restored, and nobody said so
      revoke(authz);
      return later(authz);
    },
  },
  {
    off: "overlooks a gap in the changes",
    whole: "INDETERMINATE",
    async run(authz) {
      await warm(authz);
      revoke(authz);
      authz.identity.putKey("key_2");
      authz.source.alterPage = (changes) => changes.slice(1);
      return muchLater(authz);
    },
  },
  {
    off: "takes an error for no changes",
    whole: "INDETERMINATE",
    async run(authz) {
      await warm(authz);
      revoke(authz);
      authz.source.alterPage = () => {
        throw new Error("the page could not be read");
      };
      return muchLater(authz);
    },
  },
  {
    off: "takes an error for no changes",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      revoke(authz);
      authz.source.tail = authz.identity.position.revision; // and trimmed before it was followed
      return later(authz);
    },
  },
  {
    off: "is told a head that was read before it asked",
    whole: "NOT_FOUND",
    async run(authz) {
      await warm(authz);
      revoke(authz);
      return later(authz);
    },
  },
];

describe.each(attacks)("an authz that $off", ({ off, whole, run }) => {
  test("would answer VALID after a revocation", async () => {
    expect(await run(new AttackedAuthz(weakenings[off] as Weakening))).toBe("VALID");
  });

  test(`is not this one, which answers ${whole}`, async () => {
    expect(await run(new AttackedAuthz())).toBe(whole);
  });
});

test("what a bell names is asked about at once; without doubt it would answer for up to a second", async () => {
  const off: WeakeningName = "does not doubt what a bell names";
  for (const [authz, answer] of [
    [new AttackedAuthz(weakenings[off]), "VALID"],
    [new AttackedAuthz(), "NOT_FOUND"],
  ] as const) {
    await warm(authz);
    revoke(authz);
    authz.ring("key_1");
    expect(await authz.answer("key_1")).toBe(answer);
    authz.pass(BOUND_MS + 1);
    expect(await authz.answer("key_1")).toBe("NOT_FOUND");
  }
});

test("a bell out of order is doubted now, and the pull a few milliseconds later leaves nothing in doubt", async () => {
  const authz = new AttackedAuthz();
  await warm(authz);
  for (let change = 0; change < 5; change++) {
    // Rung for a change that is not in the log yet, again and again: asked about, found unchanged, and fresh.
    authz.ring("key_1");
    authz.pass(3);
    expect(await authz.answer("key_1")).toBe("VALID");
    expect(authz.follower.ageMs()).toBe(0);
  }
  revoke(authz);
  authz.ring("acc_root"); // of another change, which comes first
  expect(await authz.answer("key_1")).toBe("NOT_FOUND");
});

async function warm(authz: AttackedAuthz): Promise<void> {
  authz.identity.putKey("key_1");
  await authz.poll();
  expect(await authz.answer("key_1")).toBe("VALID");
}

function revoke({ identity }: AttackedAuthz): void {
  identity.putKey("key_1", { status: "REVOKED" });
}

/** A call after the bound, on a replica that went on polling. */
async function later(authz: AttackedAuthz): Promise<string> {
  for (let poll = 0; poll < 5; poll++) {
    authz.pass(250);
    await authz.poll();
  }
  return authz.answer("key_1");
}

/** A call after the longest that cached state may answer without proof. */
async function muchLater(authz: AttackedAuthz): Promise<string> {
  for (let second = 0; second < 12; second++) {
    authz.pass(1000);
    await authz.poll();
  }
  return authz.answer("key_1");
}

/** Read before the key was revoked, and answered after that was applied, with `others` changed in between. */
async function fillLate(authz: AttackedAuthz, others: number): Promise<string> {
  authz.identity.putKey("key_1");
  await authz.poll();
  const reply = authz.source.hold("resolveKeys");
  const asked = authz.answer("key_1");
  await settle();
  revoke(authz);
  for (let other = 0; other < others; other++) authz.identity.putKey(`key_other_${other}`);
  await authz.poll();
  reply.release();
  await asked;
  return later(authz);
}
