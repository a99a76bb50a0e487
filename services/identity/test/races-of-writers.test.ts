import { type ChildProcess, spawn } from "node:child_process";
import { decodeFreshness } from "@gatehouse/changefeed";
import { KeyKind, KeyStatus, type Position } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Caller, type System, startSystem, timely } from "./system.ts";

const WRITERS = 16;
/** Few enough that they meet at its gates. */
const ORGANIZATIONS = 4;

let system: System;
const children: ChildProcess[] = [];

beforeAll(async () => {
  system = await startSystem();
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await system?.stop();
});

async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  return { id: made.account!.id, master: system.as(made.secret) };
}

type Answered = Promise<{ readonly freshness: string }>;

/** One of every kind of change that the feed tells of, one after the other; answers the revisions that they committed. */
async function everyChange(master: Caller, n: number): Promise<number[]> {
  const revisions: number[] = [];
  async function done<T extends { readonly freshness: string }>(call: Promise<T>): Promise<T> {
    const answer = await call;
    revisions.push(decodeFreshness(answer.freshness)!.revision);
    return answer;
  }
  const { accounts, keys, members, roles } = master;
  const account = (await done(accounts.createAccount({ name: `a${n}` }, timely))).account!.id;
  const { key } = await done(keys.createKey({ account, name: "key" }, timely));
  const named = { account, name: "sub", parentKey: key!.id, kind: KeyKind.SUB };
  await done(keys.createKey(named, timely));
  const changes: (() => Answered)[] = [
    () => keys.disableKey({ key: key!.id }, timely),
    () => keys.enableKey({ key: key!.id }, timely),
    () => keys.updateKey({ key: key!.id, labels: { n: `${n}` } }, timely),
    () => keys.rotateKey({ key: key!.id }, timely),
    () => accounts.suspendAccount({ account, reason: "ABUSE" }, timely),
    () => accounts.resumeAccount({ account }, timely),
    () => accounts.updateAccount({ account, labels: { n: `${n}` } }, timely),
    () => accounts.renameAccount({ account, slug: `renamed-${n}` }, timely),
    () => roles.createRole({ name: `role-${n}`, scopes: ["orders.**"] }, timely),
  ];
  for (const change of changes) await done(change());
  const { token } = await members.invite({ account, email: "a@b", roles: ["auditor"] }, timely);
  const { member } = await done(members.acceptInvitation({ token, subject: `writer ${n}` }, timely));
  const user = member!.userId;
  await done(members.updateMemberRoles({ account, user, roles: [`role-${n}`] }, timely));
  await done(members.removeMember({ account, user }, timely));
  await done(keys.revokeKey({ key: key!.id }, timely));
  return revisions;
}

/** Follows the feed as a follower does, a position at a time, until `done` and at the head. */
async function follow(from: Position, done: () => boolean) {
  const seen = [];
  for (let after = from; ; ) {
    const last = done();
    const { changes, head } = await system.feed.listChanges({ after, limit: 7 }, timely);
    seen.push(...changes);
    const revision = changes.at(-1)?.revision ?? after.revision;
    after = { ...after, revision };
    if (last && revision === head!.revision) return seen;
  }
}

/** A client that stops dead once it has updated the key and before it commits. */
async function freezeOver(key: string): Promise<void> {
  const child = spawn(process.execPath, [new URL("frozen-client.ts", import.meta.url).pathname], {
    env: { ...process.env, IDENTITY_URL: system.databaseUrl, IDENTITY_KEY: key },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once("data", () => resolve());
    child.once("exit", (code) => reject(new Error(`the client ended with ${code}`)));
  });
  child.kill("SIGSTOP");
}

async function timedMs(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

describe("revisions", () => {
  // What makes them so is the change log's, and so are the negative controls: packages/changefeed/test.
  it("are without a gap and in the order of commits under 16 writers of everything", async () => {
    const owners: Caller[] = [];
    for (let n = 0; n < ORGANIZATIONS; n++) owners.push((await organization(`writers ${n}`)).master);
    const { head } = await system.feed.getHead({}, timely);
    let done = false;
    const followed = follow(head!, () => done);
    const writers = Array.from({ length: WRITERS }, (_, n) => everyChange(owners[n % ORGANIZATIONS]!, n));
    const committed = await Promise.all(writers);
    done = true;
    const seen = await followed;

    // Who follows while they write sees each revision, in order, and never one that comes late.
    expect(seen.map(({ revision }) => revision)).toEqual(seen.map((_, n) => head!.revision + 1n + BigInt(n)));
    for (const revisions of committed) {
      expect(revisions).toEqual(revisions.toSorted((left, right) => left - right));
      expect(new Set(revisions).size).toBe(revisions.length);
    }
    expect(new Set(committed.flat()).size).toBe(committed.flat().length);
    expect(Math.max(...committed.flat())).toBe(Number(seen.at(-1)!.revision));
    // 16 changes a writer; an account comes with a key, and a key goes with its sub-key.
    expect(committed.flat()).toHaveLength(WRITERS * 16);
    expect(seen).toHaveLength(WRITERS * 18);
  });
});

describe("a client frozen between its update and its commit", () => {
  it("delays the revoke of the key that it updates by a second at most, and other revokes not at all", async () => {
    const { master } = await organization("frozen");
    const { key: victim } = await master.keys.createKey({ name: "victim" }, timely);
    const { key: other } = await master.keys.createKey({ name: "other" }, timely);
    const { head } = await system.feed.getHead({}, timely);
    await freezeOver(victim!.id);
    const revoke = (key: string) => timedMs(() => master.keys.revokeKey({ key }, timely));
    const [victimMs, otherMs] = await Promise.all([revoke(victim!.id), revoke(other!.id)]);
    // Held by the client until the server gave up on it: with no client frozen there is nothing to wait for.
    expect(victimMs).toBeGreaterThan(300);
    expect(victimMs).toBeLessThan(2000);
    expect(otherMs).toBeLessThan(victimMs);
    const { changes } = await system.feed.listChanges({ after: head! }, timely);
    const revoked = changes.map(({ revision, entity }) => [
      revision - head!.revision,
      entity.case === "key" && [entity.value.id, KeyStatus[entity.value.status]],
    ]);
    // What was frozen took no revision.
    expect(revoked).toEqual([
      [1n, [other!.id, "REVOKED"]],
      [2n, [victim!.id, "REVOKED"]],
    ]);
  });

  it("is what it waits for (control)", async () => {
    const { master } = await organization("thawed");
    const { key } = await master.keys.createKey({ name: "victim" }, timely);
    expect(await timedMs(() => master.keys.revokeKey({ key: key!.id }, timely))).toBeLessThan(300);
  });
});
