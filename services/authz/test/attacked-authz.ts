import { MissBudget, stateOf } from "@gatehouse/access";
import { type FeedSource, Follower, type Position } from "@gatehouse/changefeed";
import { Failure } from "@gatehouse/service/failure";
import { CachedDirectory } from "../src/domain/cached-directory.ts";
import { CatalogBook } from "../src/domain/catalog-book.ts";
import type { FreshnessGate } from "../src/domain/freshness-gate.ts";
import { FakeIdentity } from "../src/domain/identity.fixture.ts";
import type { IdentityCache } from "../src/domain/identity-cache.ts";
import { IdentityReader, type IdentitySource } from "../src/domain/identity-reader.ts";
import { type IdentityChange, IdentityReplica } from "../src/domain/identity-replica.ts";
import { MeterBook } from "../src/domain/meter-book.ts";
import type { ResolvedHashes, ResolvedKeys, ResolvedTarget } from "../src/domain/resolved.ts";
import { wholeParts } from "../src/parts.ts";
import type { Weakening } from "./weakenings.ts";

export type Source = IdentitySource & FeedSource<IdentityChange>;

/** The bounds as they come. */
const BOUNDS = { boundMs: 1000, stalenessMaxMs: 10_000 };
export const LIFETIME_MS = 600_000;

/** identity over a network in the attack's hands: read when the question comes, answered when the attack says so. */
export class ScriptedIdentity implements Source {
  readonly identity = new FakeIdentity();
  /** Changes up to here have been trimmed. */
  tail = 0;
  isCut = false;
  alterPage = (changes: readonly IdentityChange[]) => changes;
  readonly #held = new Map<keyof Source, Promise<void>>();

  /** The next call of a method is answered when `release` is called, or failed. */
  hold(method: keyof Source): { release(): void; fail(): void } {
    const gate = Promise.withResolvers<void>();
    this.#held.set(method, gate.promise);
    return { release: () => gate.resolve(), fail: () => gate.reject(new Error("its deadline has passed")) };
  }

  head(): Promise<Position> {
    return this.#answer("head", this.identity.position);
  }

  async changes(after: Position): Promise<readonly IdentityChange[]> {
    const { incarnation, revision } = this.identity.position;
    if (after.incarnation !== incarnation || after.revision > revision || after.revision < this.tail) {
      throw new Failure({ code: "OUT_OF_RANGE", reason: "LOG_TRUNCATED", message: "trimmed" });
    }
    return this.#answer("changes", this.alterPage(this.identity.changesAfter(after.revision)));
  }

  resolveKeys(keyIds: readonly string[]): Promise<ResolvedKeys> {
    return this.#answer("resolveKeys", this.identity.resolveKeys(keyIds));
  }

  resolveHashes(hashes: readonly string[]): Promise<ResolvedHashes> {
    return this.#answer("resolveHashes", this.identity.resolveHashes(hashes));
  }

  resolveTarget(organizationId: string, account: string): Promise<ResolvedTarget> {
    return this.#answer("resolveTarget", this.identity.resolveTarget(organizationId, account));
  }

  async #answer<T>(method: keyof Source, answer: T): Promise<T> {
    if (this.isCut) throw new Error("no route");
    const held = this.#held.get(method);
    this.#held.delete(method);
    await held;
    return answer;
  }
}

/** What of authz a revocation has to get through, with its clock and its identity scripted, whole or weakened. */
export class AttackedAuthz {
  readonly source = new ScriptedIdentity();
  readonly identity = this.source.identity;
  readonly now = { monotonicMs: 0, wallMs: 1_800_000_000_000 };
  readonly cache: IdentityCache;
  readonly follower: Follower<IdentityChange>;
  readonly #gate: FreshnessGate;
  readonly #directory: CachedDirectory;
  #ring: (ids: readonly string[]) => void = () => {};

  constructor(weakening: Weakening = {}) {
    const clock = { now: () => ({ ...this.now }) };
    const parts = { ...wholeParts, clock, ...weakening.parts?.(clock) };
    const source = weakening.source?.(this.source) ?? this.source;
    this.cache = parts.identityCache({
      capacity: 100,
      lifetimeMs: LIFETIME_MS,
      nowMs: () => parts.clock.now().monotonicMs,
    });
    const listed = { position: this.identity.position, items: new Map<string, never>() };
    const replica = new IdentityReplica(
      this.cache,
      new MeterBook(async () => listed),
      new CatalogBook(async () => listed),
    );
    this.follower = parts.identityFollower({ source, replica, clock: parts.clock });
    this.#gate = parts.guardGate(parts.identityGate(this.follower, BOUNDS));
    const budget = new MissBudget({ perSecond: 10, burst: 10 }, () => this.now.monotonicMs);
    this.#directory = new CachedDirectory({
      cache: this.cache,
      identity: new IdentityReader(source, this.cache, budget),
      identityProof: this.follower,
      identityGate: this.#gate,
    });
    const onBell = (ids: readonly string[]) => this.cache.doubt(ids, this.follower.proofsBegun);
    // Followed by hand: what the bus and the loop would do is what the attack does.
    const bus = {
      publish: () => {},
      connected: true,
      close: async () => {},
      subscribe: (_subject: string, handler: (payload: Uint8Array, subject: string) => void) => {
        this.#ring = (entityIds) => handler(Buffer.from(JSON.stringify({ entityIds })), "");
        return { unsubscribe: () => {} };
      },
    };
    const idle = new Follower({ source, replica, clock: parts.clock });
    const log = { info: () => {}, warn: () => {} } as never;
    void parts.follow({ follower: idleLoop(idle), source: "identity", bus, log, onBell }).stop();
  }

  /** One run of the loop: it fails where its proof does. */
  async poll(): Promise<void> {
    await this.follower.prove().catch(() => undefined);
  }

  ring(...entityIds: string[]): void {
    this.#ring(entityIds);
  }

  /** Both clocks go on, and nothing else happens: as for a process that is stopped. */
  pass(ms: number): void {
    this.now.monotonicMs += ms;
    this.now.wallMs += ms;
  }

  /** What a call with the key is answered. */
  async answer(keyId: string): Promise<string> {
    try {
      const view = await this.#directory.findKey(keyId);
      return view === undefined ? "NOT_FOUND" : stateOf(view, this.now.wallMs);
    } catch (error) {
      if (error instanceof Failure && error.code === "UNAVAILABLE") return "INDETERMINATE";
      throw error;
    }
  }
}

// The loop is subscribed to the bell and runs nothing.
function idleLoop(follower: Follower<IdentityChange>): Follower<IdentityChange> {
  follower.prove = async () => {};
  return follower;
}

/** What is on its way through promises arrives. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
