import { hashSecret } from "@gatehouse/keys";
import { SingleFlight } from "@gatehouse/service";
import type { KeyInTree } from "./domain/keys/key.ts";
import type { Reads } from "./domain/store.ts";

/** Longer than any key that somebody makes; what is hashed must be bounded. */
const MAX_PRESENTED = 512;
/** How long another replica's new prefix, or key where a try came too early, may go unseen. */
const KNOWN_MS = 1000;
/** Hashes that no key has, at most: a megabyte. */
const MAX_MISSING = 10_000;
/** Look-ups at once: a flood of made-up keys must leave the database to those who have some. */
const MAX_LOOK_UPS = 8;
const LOOK_UP_MS = 5000;

/** What looking for them takes. */
export interface ImportReads {
  readonly keys: Pick<Reads["keys"], "find">;
  readonly imported: Reads["imported"];
}

/**
 * Finds the key behind a presented credential that was made elsewhere. Such a credential has no tag, so what can be
 * said of junk without a look-up is said first: that it begins with no registered prefix, that it is too long, that
 * it was nobody's a moment ago.
 */
export class ImportedKeys {
  readonly #reads: ImportReads;
  readonly #nowMs: () => number;
  readonly #prefixes: SingleFlight<"prefixes", readonly string[]>;
  readonly #lookUps: SingleFlight<string, KeyInTree | undefined>;
  readonly #missing = new Map<string, number>();
  #known: { readonly prefixes: readonly string[]; readonly untilMs: number } | undefined;

  constructor(reads: ImportReads, nowMs: () => number = () => performance.now()) {
    this.#reads = reads;
    this.#nowMs = nowMs;
    this.#prefixes = new SingleFlight({ run: () => reads.imported.prefixes(), timeoutMs: LOOK_UP_MS });
    this.#lookUps = new SingleFlight({
      run: (hash) => this.#lookUp(hash),
      timeoutMs: LOOK_UP_MS,
      inFlightMax: MAX_LOOK_UPS,
    });
  }

  /** Undefined at once for most junk. Throws Failure OVERLOADED and SOURCE_UNAVAILABLE. */
  find(presented: string): KeyInTree | undefined | Promise<KeyInTree | undefined> {
    if (presented.length > MAX_PRESENTED) return undefined;
    const known = this.#known;
    if (known === undefined || known.untilMs <= this.#nowMs()) {
      return this.#learnPrefixes().then((prefixes) => this.#findAmong(prefixes, presented));
    }
    return this.#findAmong(known.prefixes, presented);
  }

  /** After a commit of this process: what it made is found at once. */
  forget(): void {
    this.#known = undefined;
    this.#missing.clear();
  }

  #findAmong(
    prefixes: readonly string[],
    presented: string,
  ): KeyInTree | undefined | Promise<KeyInTree | undefined> {
    if (!prefixes.some((prefix) => presented.startsWith(prefix))) return undefined;
    const hash = hashSecret(presented);
    if ((this.#missing.get(hash) ?? 0) > this.#nowMs()) return undefined;
    return this.#lookUps.get(hash);
  }

  async #learnPrefixes(): Promise<readonly string[]> {
    const untilMs = this.#nowMs() + KNOWN_MS;
    const prefixes = await this.#prefixes.get("prefixes");
    this.#known = { prefixes, untilMs };
    return prefixes;
  }

  async #lookUp(hash: string): Promise<KeyInTree | undefined> {
    const untilMs = this.#nowMs() + KNOWN_MS;
    const keyId = (await this.#reads.imported.find([hash])).get(hash);
    if (keyId !== undefined) return this.#reads.keys.find(keyId);
    // The oldest goes; a second later it would be asked for again anyway.
    if (this.#missing.size >= MAX_MISSING) this.#missing.delete(this.#missing.keys().next().value!);
    this.#missing.set(hash, untilMs);
    return undefined;
  }
}
