import { type Price, type PricedUse, type PriceInForce, priceInForce } from "@gatehouse/buckets";
import { type Position, SharedRead } from "@gatehouse/changefeed";
import type { Grant } from "@gatehouse/scopes";
import { unavailable } from "@gatehouse/service/failure";
import { patternMatcher } from "./limit.ts";

/** The node under which metering's log says that a price was set. */
export const PRICES_NODE = "@prices";

/** Every price that is in force or will be. */
export interface PriceList {
  /** The position at which it is true. */
  readonly position: Position;
  readonly prices: readonly Price[];
}

/** What a call is priced by. */
export type Prices = Pick<PriceBook, "edition" | "isUsable" | "inForce" | "fill">;

/** A read that came too late to be believed is read again, this often. */
const MAX_READS = 3;
/** While metering does not answer, what was read before stands, and is asked for again this often. */
const EXCUSED_MS = 500;

/**
 * What calls cost, read whole and read again when a price was set: there are few. What was read before a change that is
 * known here is not believed. A bell casts doubt on it, and no call is priced by what is in doubt as long as metering
 * answers; where it does not, what is here stands for as long as limits do.
 */
export class PriceBook {
  readonly #read: SharedRead<void>;
  #byMeter: ReadonlyMap<string, readonly Price[]> = new Map();
  #matchers = new Map<string, Grant | undefined>();
  #incarnation: string | undefined;
  /** The latest change that is known, and what was read last is true at. */
  #changedAt = 0;
  #isFilled = false;
  #doubts = 0;
  #cleared = 0;
  #excusedUntilMs = 0;
  /** Another number whenever prices may be others than before, but for those that begin with time. */
  edition = 0;

  /** `read` settles within its own deadline. */
  constructor(read: () => Promise<PriceList>) {
    this.#read = new SharedRead(async () => {
      for (let n = 1; n <= MAX_READS; n++) {
        const doubts = this.#doubts;
        if (this.#take(await read(), doubts)) return;
      }
      throw unavailable("prices change faster than they are read");
    });
  }

  /** Whether calls can be priced by what is here; else they wait for `fill`. */
  isUsable(nowMs: number): boolean {
    return this.#isFilled && (!this.#isDoubted || nowMs < this.#excusedUntilMs);
  }

  /** Reads the prices as they are after this call. Rejects where metering does not answer and nothing is here. */
  async fill(nowMs: () => number): Promise<void> {
    try {
      await this.#read.read();
    } catch (error) {
      if (!this.#isFilled) throw error;
      this.#excusedUntilMs = nowMs() + EXCUSED_MS;
      this.edition++;
    }
  }

  /** The price in force, and until when it is for sure as long as the edition is the same. */
  inForce(use: PricedUse, nowMs: number): PriceInForce {
    const { price, untilMs } = priceInForce(this.#byMeter.get(use.meter) ?? NONE, use, nowMs, this.#matches);
    return { price, untilMs: this.#isDoubted ? Math.min(untilMs, this.#excusedUntilMs) : untilMs };
  }

  /** A bell. */
  doubt(): void {
    this.#doubts++;
    this.edition++;
  }

  /** Metering's log says that a price was set. */
  apply(revision: number): void {
    this.#changedAt = revision;
    this.doubt();
  }

  restart(head: Position): void {
    this.#incarnation = head.incarnation;
    this.#changedAt = head.revision;
    this.#isFilled = false;
    this.doubt();
  }

  get #isDoubted(): boolean {
    return this.#cleared < this.#doubts;
  }

  // What a bell said while it was read may not be in it.
  #take({ position, prices }: PriceList, doubts: number): boolean {
    if (position.incarnation !== this.#incarnation || position.revision < this.#changedAt) return false;
    this.#byMeter = Map.groupBy(prices, ({ meter }) => meter);
    this.#matchers = new Map(prices.map(({ resource }) => [resource, patternMatcher(resource)]));
    this.#isFilled = true;
    this.#cleared = doubts;
    this.edition++;
    return true;
  }

  readonly #matches = (pattern: string, resource: string) =>
    this.#matchers.get(pattern)?.allows(resource) ?? true;
}

const NONE: readonly Price[] = [];
