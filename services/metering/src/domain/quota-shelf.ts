import { type BucketPool, Pool } from "@gatehouse/buckets";
import type { HeldOfQuota, QuotaBucketRow } from "./lease.ts";
import { keptUnits, partOf, type QuotaLimit } from "./limit.ts";

/**
 * A quota's bucket of the running window within one transaction: one row, and one more for each node that a share of
 * it is kept for. What is drawn on behalf of such a node is drawn of its row as far as its share goes, and of the
 * common row beyond. A row whose share is no more counts as drawn until the window ends.
 */
export class QuotaBucket {
  readonly limit: QuotaLimit;
  readonly endMs: number | undefined;
  readonly nowMs: number;
  /** Without what is forfeited. */
  readonly held: readonly HeldOfQuota[];
  /** Units that count as spent from now on, by row. */
  readonly forfeited: ReadonlyMap<string, number>;
  readonly #rows: Map<string, QuotaBucketRow>;
  readonly #touched = new Set<string>();
  readonly #pool: Pool;
  /** What calls draw on, by the name that leases of it have. */
  readonly shelves: readonly QuotaShelf[];

  constructor(
    limit: QuotaLimit,
    rows: readonly QuotaBucketRow[],
    leases: readonly HeldOfQuota[],
    nowMs: number,
  ) {
    this.limit = limit;
    this.endMs = rows[0]!.endMs;
    this.nowMs = nowMs;
    this.held = leases.filter(({ isForfeited }) => !isForfeited);
    this.#rows = new Map(rows.map((row) => [row.shareNode, row]));
    const forfeited = Map.groupBy(
      leases.filter(({ isForfeited }) => isForfeited),
      ({ bucketId }) => bucketId,
    );
    this.forfeited = new Map([...forfeited].map(([id, of]) => [id, sumOf(of.map(({ units }) => units))]));
    for (const [node, row] of this.#rows) {
      const units = this.forfeited.get(row.id) ?? 0;
      if (units > 0) this.#move(node, units, -units);
    }
    this.#pool = new Pool(this.available, this.#kept());
    const nodes = ["", ...(limit.shares ?? []).map(({ nodeId }) => nodeId)];
    // A share that came after the rows were locked lends from the next round on.
    this.shelves = nodes.filter((node) => this.#rows.has(node)).map((node) => new QuotaShelf(this, node));
  }

  /** Rows to be written. */
  get touchedRows(): QuotaBucketRow[] {
    return [...this.#touched].map((node) => this.#rows.get(node)!);
  }

  get leased(): number {
    return this.#rows.values().reduce((sum, { leased }) => sum + leased, 0);
  }

  /** To anybody; below zero after a lowered limit or late usage. */
  get available(): number {
    const drawn = this.#rows.values().reduce((sum, { spent, leased }) => sum + spent + leased, 0);
    return this.limit.allowance.units - drawn;
  }

  /** For `allocate`, as long as nothing was taken; undefined where nobody has or had a share. */
  get pool(): BucketPool | undefined {
    if (this.#rows.size === 1 && !this.limit.shares?.length) return undefined;
    const own = new Set(this.shelves.map(({ limitId }) => limitId));
    const leasedOfKept = new Map<string, number>();
    let leasedBesides = 0;
    for (const { limitId, bucketId, units } of this.held) {
      if (!own.has(limitId)) leasedBesides += units;
      else if (bucketId !== this.#rows.get("")!.id) {
        leasedOfKept.set(limitId, (leasedOfKept.get(limitId) ?? 0) + units);
      }
    }
    return { kept: this.#kept(), leasedOfKept, leasedBesides };
  }

  availableTo(node: string): number {
    return this.#pool.availableTo(partOf(this.limit.id, node));
  }

  /** Lends units on behalf of a node, even more than there are; answers of which rows. */
  take(node: string, units: number): { bucketId: string; units: number }[] {
    const ofKept = this.#pool.take(partOf(this.limit.id, node), units);
    return [
      { node, units: ofKept },
      { node: "", units: units - ofKept },
    ].flatMap((piece) => {
      if (piece.units === 0) return [];
      return { bucketId: this.#move(piece.node, 0, piece.units).id, units: piece.units };
    });
  }

  /** Who holds units that may come back to the node's calls. */
  holdersBesides(node: string, holder: string): { holder: string; limitId: string }[] {
    const part = partOf(this.limit.id, node);
    const common = this.#rows.get("")!.id;
    const helps = (each: HeldOfQuota) =>
      each.units > 0 &&
      (each.holder !== holder || each.limitId !== part) &&
      (each.limitId === part || each.bucketId === common || !this.#isKept(each.limitId));
    return this.held.filter(helps);
  }

  #isKept(part: string): boolean {
    return (this.limit.shares ?? []).some(({ nodeId }) => partOf(this.limit.id, nodeId) === part);
  }

  #kept(): Map<string, number> {
    return new Map(
      (this.limit.shares ?? []).map((share) => {
        const { spent = 0, leased = 0 } = this.#rows.get(share.nodeId) ?? {};
        const left = keptUnits(share, this.limit.allowance.units) - spent - leased;
        return [partOf(this.limit.id, share.nodeId), Math.max(0, left)];
      }),
    );
  }

  #move(node: string, spent: number, leased: number): QuotaBucketRow {
    const row = this.#rows.get(node)!;
    const moved = { ...row, spent: row.spent + spent, leased: row.leased + leased };
    this.#rows.set(node, moved);
    this.#touched.add(node);
    return moved;
  }
}

/** A quota's bucket as the calls of one node see it that has a share of it, or those of everybody else. */
export class QuotaShelf {
  readonly bucket: QuotaBucket;
  readonly #node: string;
  /** The limit's id, and the node's where it has a share. */
  readonly limitId: string;
  /** Unreported units by holder. */
  readonly held: Map<string, number>;

  constructor(bucket: QuotaBucket, node: string) {
    this.bucket = bucket;
    this.#node = node;
    this.limitId = partOf(bucket.limit.id, node);
    this.held = new Map();
    for (const { limitId, holder, units } of bucket.held) {
      if (limitId === this.limitId) this.held.set(holder, (this.held.get(holder) ?? 0) + units);
    }
  }

  get endMs(): number | undefined {
    return this.bucket.endMs;
  }

  get leased(): number {
    return this.bucket.leased;
  }

  get available(): number {
    return this.bucket.availableTo(this.#node);
  }

  /** Lends `units`, even more than there are: a limit that only warns gives what is asked. */
  take(units: number): { bucketId: string; units: number }[] {
    return this.bucket.take(this.#node, units);
  }

  holdersBesides(holder: string): { holder: string; limitId: string }[] {
    return this.bucket.holdersBesides(this.#node, holder);
  }

  retryAfterMs(_need: number): number | undefined {
    const { endMs, nowMs } = this.bucket;
    return endMs === undefined ? undefined : Math.max(0, endMs - nowMs);
  }
}

function sumOf(units: Iterable<number>): number {
  return [...units].reduce((sum, each) => sum + each, 0);
}
