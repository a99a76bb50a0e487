import { type Clock, elapsedMs, Follower, follow, type Moment, type Position } from "@gatehouse/changefeed";
import { AccountEntry, KeyEntry } from "../src/domain/entry.ts";
import { FreshnessGate } from "../src/domain/freshness-gate.ts";
import { IdentityCache } from "../src/domain/identity-cache.ts";
import type { IdentityChange } from "../src/domain/identity-replica.ts";
import type { ResolvedKeys } from "../src/domain/resolved.ts";
import type { Parts } from "../src/parts.ts";
import type { Source } from "./attacked-authz.ts";

/** One rule switched off: in a part of authz, or in what it sees of identity. */
export interface Weakening {
  readonly parts?: (clock: Clock) => Partial<Parts>;
  readonly source?: (source: Source) => Source;
}

type Followed = ConstructorParameters<typeof Follower<IdentityChange>>[0];
type CacheOptions = ConstructorParameters<typeof IdentityCache>[0];

/** Named after what authz does once the rule is off. */
export const weakenings = {
  "takes a reply for news of when it came": {
    parts: (clock) => ({ identityFollower: (options) => new AgedFromReply(options, clock) }),
  },
  "takes a bell for proof": {
    parts(clock) {
      let rungAt: Moment | undefined;
      const sinceBell = () =>
        rungAt === undefined ? Number.POSITIVE_INFINITY : elapsedMs(clock.now(), rungAt);
      return {
        identityFollower: (options) => new AgedFromBell(options, sinceBell),
        follow: ({ onBell, ...options }) =>
          follow({
            ...options,
            onBell(ids) {
              if (options.source === "identity") rungAt = clock.now();
              onBell?.(ids);
            },
          }),
      };
    },
  },
  "looks at its age when a proof ends, not when it answers": {
    parts: () => ({ identityFollower: (options) => new AgedAtProof(options) }),
  },
  "trusts the monotonic clock alone": {
    parts: (clock) => ({ clock: { now: () => oneClock(clock.now().monotonicMs) } }),
  },
  "trusts the wall clock alone": {
    parts: (clock) => ({ clock: { now: () => oneClock(clock.now().wallMs) } }),
  },
  "takes one proof that failed for a source out of reach": {
    parts: () => ({ identityFollower: (options) => new EasilyDiscouraged(options) }),
  },
  "believes for ever that the source is out of reach": {
    parts: () => ({ identityFollower: (options) => new Resigned(options) }),
  },
  "believes every fill": {
    parts: () => ({ identityCache: (options) => new Credulous(options, 0) }),
  },
  "believes fills older than its ring": {
    parts: () => ({ identityCache: (options) => new Credulous(options, 65_536) }),
  },
  "replaces what it holds by late fills": {
    parts: () => ({ identityCache: (options) => new Reviving(options) }),
  },
  "copies accounts into keys": {
    parts: () => ({ identityCache: (options) => new Copying(options) }),
  },
  "keeps sub-keys whose parent key was replaced": {
    parts: () => ({ identityCache: (options) => new Orphaning(options) }),
  },
  "does not doubt what a bell names": {
    parts: () => ({ identityCache: (options) => new Undoubting(options) }),
  },
  "lets entries live for ever": {
    parts: () => ({ identityCache: (options) => new IdentityCache({ ...options, nowMs: () => 0 }) }),
  },
  "does not follow for the keys that ask": {
    parts: () => ({
      guardGate: () =>
        new FreshnessGate(
          { ageMs: () => 0, prove: async () => {}, position: undefined, provenProof: 0, isOutOfReach: false },
          { boundMs: Number.POSITIVE_INFINITY, stalenessMaxMs: Number.POSITIVE_INFINITY },
        ),
    }),
  },
  "is told state and revision by two reads": {
    source: (source) =>
      seenAs(source, {
        async resolveKeys(keyIds) {
          const { keys, accounts } = await source.resolveKeys(keyIds);
          return { keys, accounts, position: await source.head() };
        },
      }),
  },
  "overlooks another incarnation": {
    source: (source) =>
      seenAs(source, {
        head: async () => unnamed(await source.head()),
        changes: async (after) => source.changes(await named(source, after)),
        async resolveKeys(keyIds) {
          const resolved = await source.resolveKeys(keyIds);
          return { ...resolved, position: unnamed(resolved.position) };
        },
      }),
  },
  "overlooks a head that went backwards": {
    source(source) {
      let furthest = 0;
      return seenAs(source, {
        async head() {
          const head = await source.head();
          furthest = Math.max(furthest, head.revision);
          return { ...head, revision: furthest };
        },
      });
    },
  },
  "overlooks a gap in the changes": {
    source: (source) =>
      seenAs(source, {
        changes: async (after) => filled(after, await source.head(), await source.changes(after)),
      }),
  },
  "takes an error for no changes": {
    source: (source) =>
      seenAs(source, {
        async changes(after) {
          const head = await source.head();
          return filled(after, head, await source.changes(after).catch(() => []));
        },
      }),
  },
  "is told a head that was read before it asked": {
    source(source) {
      let told: Position | undefined;
      return seenAs(source, {
        async head() {
          told ??= await source.head();
          return told;
        },
      });
    },
  },
} as const satisfies Record<string, Weakening>;

export type WeakeningName = keyof typeof weakenings;

class AgedFromReply extends Follower<IdentityChange> {
  readonly #now: Clock;
  #repliedAt: Moment | undefined;

  constructor(options: Followed, clock: Clock) {
    super(options);
    this.#now = clock;
  }

  override async prove(): Promise<void> {
    await super.prove();
    this.#repliedAt = this.#now.now();
  }

  override ageMs(): number {
    return this.#repliedAt === undefined
      ? Number.POSITIVE_INFINITY
      : elapsedMs(this.#now.now(), this.#repliedAt);
  }
}

class AgedFromBell extends Follower<IdentityChange> {
  readonly #sinceBellMs: () => number;

  constructor(options: Followed, sinceBellMs: () => number) {
    super(options);
    this.#sinceBellMs = sinceBellMs;
  }

  override ageMs(): number {
    return Math.min(super.ageMs(), this.#sinceBellMs());
  }
}

class AgedAtProof extends Follower<IdentityChange> {
  #lookedMs = Number.POSITIVE_INFINITY;

  override async prove(): Promise<void> {
    await super.prove().finally(() => {
      this.#lookedMs = super.ageMs();
    });
  }

  override ageMs(): number {
    return this.#lookedMs;
  }
}

class EasilyDiscouraged extends Follower<IdentityChange> {
  #hasFailed = false;

  override async prove(): Promise<void> {
    this.#hasFailed = await super.prove().then(
      () => false,
      () => true,
    );
    if (this.#hasFailed) throw new Error("no proof");
  }

  override get isOutOfReach(): boolean {
    return this.#hasFailed;
  }
}

class Resigned extends Follower<IdentityChange> {
  #resignedAtProof: number | undefined;

  override get isOutOfReach(): boolean {
    if (super.isOutOfReach) this.#resignedAtProof = this.provenProof;
    return this.#resignedAtProof === this.provenProof;
  }
}

class Credulous extends IdentityCache {
  readonly #ring: number;

  constructor(options: CacheOptions, ring: number) {
    super(options);
    this.#ring = ring;
  }

  override fillKey(keyId: string, resolved: ResolvedKeys): boolean {
    const here = this.position()!;
    const isForgotten = here.revision - resolved.position.revision > this.#ring;
    return super.fillKey(keyId, isForgotten ? { ...resolved, position: here } : resolved);
  }
}

class Reviving extends IdentityCache {
  readonly #late = new Map<string, KeyEntry>();

  override fillKey(keyId: string, resolved: ResolvedKeys): boolean {
    const held = super.key(keyId);
    const key = resolved.keys.get(keyId);
    if (held === undefined || key === undefined) return super.fillKey(keyId, resolved);
    this.#late.set(
      keyId,
      new KeyEntry(key, held.parentEntry, held.accounts, held.revision, held.expiresAtMs),
    );
    return true;
  }

  override key(keyId: string): KeyEntry | undefined {
    return this.#late.get(keyId) ?? super.key(keyId);
  }
}

class Copying extends IdentityCache {
  readonly #copies = new WeakMap<KeyEntry, KeyEntry>();

  override key(keyId: string): KeyEntry | undefined {
    const entry = super.key(keyId);
    if (entry === undefined) return undefined;
    let copy = this.#copies.get(entry);
    if (copy === undefined) {
      const accounts = entry.accounts.map((account) => new AccountEntry(account, account.revision));
      copy = new KeyEntry(entry.key, entry.parentEntry, accounts, entry.revision, entry.expiresAtMs);
      this.#copies.set(entry, copy);
    }
    return copy;
  }
}

class Orphaning extends IdentityCache {
  readonly #kept = new Map<string, KeyEntry>();

  override key(keyId: string): KeyEntry | undefined {
    const kept = this.#kept.get(keyId);
    if (kept?.parentEntry?.dead && !kept.dead) return kept;
    const entry = super.key(keyId);
    if (entry === undefined) {
      // Dropped for its parent's sake, which this one does not mind.
      return kept?.parent === undefined ? undefined : kept;
    }
    this.#kept.set(keyId, entry);
    return entry;
  }
}

class Undoubting extends IdentityCache {
  override doubt(): void {}
}

function oneClock(ms: number): Moment {
  return { monotonicMs: ms, wallMs: ms };
}

function seenAs(source: Source, seen: Partial<Source>): Source {
  return {
    head: () => source.head(),
    changes: (after) => source.changes(after),
    resolveKeys: (keyIds) => source.resolveKeys(keyIds),
    resolveHashes: (hashes) => source.resolveHashes(hashes),
    resolveTarget: (organizationId, account) => source.resolveTarget(organizationId, account),
    ...seen,
  };
}

function unnamed({ revision }: Position): Position {
  return { incarnation: "whichever", revision };
}

async function named(source: Source, { revision }: Position): Promise<Position> {
  return { incarnation: (await source.head()).incarnation, revision };
}

// Every revision up to the head, whether anything is known to have happened at it or not.
function filled(after: Position, head: Position, changes: readonly IdentityChange[]): IdentityChange[] {
  return Array.from({ length: head.revision - after.revision }, (_, i) => {
    const revision = after.revision + 1 + i;
    return changes.find((change) => change.revision === revision) ?? { revision };
  });
}
