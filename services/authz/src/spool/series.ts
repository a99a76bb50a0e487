import type { PriceName, SeriesName } from "../domain/journal.ts";
import { varintBytes, writeVarint } from "../varint.ts";

/**
 * What a spool counts by. A handle is made once and kept by the caller with its cached key or lease; the spool notes
 * on it under which number the current segment knows it, so that a charge is two small numbers and no look-up.
 *
 * A handle carries its names as the fields of the protobuf message they end in (MinuteUsage, LeaseSpend). The same
 * bytes are the definition in the segment and a part of the batch: nothing is decoded or encoded again in between.
 */

/** Names longer than this are refused: a batch's size is bounded by the sizes of its names. In UTF-8. */
export const MAX_NAME_BYTES = 1024;

/** One (key, account, meter, resource, outcome), and the price in force where there is one. */
export class Series {
  /** Fields 2 to 6 of MinuteUsage, then 9 and 10 where it has a price. */
  readonly fields: Buffer;
  /** Which segment `number` and `minute` are of. */
  segment = -1;
  number = 0;
  /** The minute last charged in that segment. */
  minute = -1;
  /** Denied calls of `deniedMinute` that no segment holds yet. */
  deniedCalls = 0;
  deniedMinute = -1;

  constructor(fields: Buffer) {
    this.fields = fields;
  }
}

/** One lease of a quota or a wallet. */
export class LeaseRef {
  readonly leaseId: string;
  /** Field 1 of LeaseSpend. */
  readonly fields: Buffer;
  segment = -1;
  number = 0;
  isClosed = false;

  constructor(leaseId: string) {
    this.leaseId = leaseId;
    this.fields = textFields([leaseId], 1);
  }
}

/**
 * Series by name, boundedly, in two generations: what was used since the young one was begun survives its end. A
 * series forgotten here while its handle lives on is harmless; the aggregate tells series apart by content.
 */
export class SeriesTable {
  readonly #capacity: number;
  #young = new Map<string, Series>();
  #old = new Map<string, Series>();

  /** @param capacity series in one generation; at about 500 bytes each, the default holds under 20 MB in two */
  constructor(capacity = 16_384) {
    this.#capacity = capacity;
  }

  get({ keyId, accountId, meter, resource, outcome, price = NO_PRICE }: SeriesName): Series {
    const { id, currency } = price;
    // The resource is the only free text, hence last: the separators before it cannot be mistaken.
    const name = `${keyId}\0${accountId}\0${meter}\0${outcome}\0${id}\0${currency}\0${resource}`;
    const known = this.#young.get(name);
    return (
      known ??
      this.#promote(name) ??
      this.#add(name, [keyId, accountId, meter, resource, outcome, id, currency])
    );
  }

  #promote(name: string): Series | undefined {
    const series = this.#old.get(name);
    return series && this.#keep(name, series);
  }

  #add(name: string, names: readonly string[]): Series {
    if (names.some((text, index) => index !== 3 && text.includes("\0"))) {
      throw new RangeError("the names of a series other than its resource hold no NUL");
    }
    const [series, price] = [names.slice(0, SERIES_NAMES), names.slice(SERIES_NAMES)];
    return this.#keep(name, new Series(Buffer.concat([textFields(series, 2), textFields(price, 9)])));
  }

  #keep(name: string, series: Series): Series {
    if (this.#young.size >= this.#capacity) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, series);
    return series;
  }
}

const NO_PRICE: PriceName = { id: "", currency: "" };
/** Key, account, meter, resource and outcome. */
const SERIES_NAMES = 5;

/** Protobuf string fields, numbered from `firstField` on; empty ones are left out, as proto3 does. */
export function textFields(texts: readonly string[], firstField: number): Buffer {
  const sizes = texts.map((text) => Buffer.byteLength(text));
  if (sizes.some((size) => size > MAX_NAME_BYTES)) {
    throw new RangeError(`a name in the spool is at most ${MAX_NAME_BYTES} bytes long`);
  }
  const total = sizes.reduce((sum, size) => sum + (size === 0 ? 0 : 1 + varintBytes(size) + size), 0);
  const fields = Buffer.allocUnsafe(total);
  let at = 0;
  for (const [index, text] of texts.entries()) {
    if (text !== "") {
      fields[at++] = ((firstField + index) << 3) | 2;
      at = writeVarint(fields, at, sizes[index]!);
      at += fields.write(text, at);
    }
  }
  return fields;
}
