import { expect, test } from "vitest";
import { priceOf } from "./price-book.fixture.ts";
import { PriceBook, type PriceList } from "./price-book.ts";

const use = { meter: "requests", resource: "chat.send", plan: "", accountType: "" };
const at = (revision: number, incarnation = "one") => ({ incarnation, revision });

/** A book that reads what `list` is, counts its reads, and fails while `isDown`. */
function bookOf(list: PriceList) {
  const source = { list, reads: 0, isDown: false, during: () => {} };
  const book = new PriceBook(async () => {
    source.reads++;
    if (source.isDown) throw new Error("metering is down");
    const { list } = source;
    source.during();
    return list;
  });
  book.restart(at(list.position.revision));
  return { source, book };
}

const nowMs = () => 1000;
const priceIn = (book: PriceBook, ms = 1000) => book.inForce(use, ms).price?.id;

test("prices nothing before it was read", async () => {
  const { book } = bookOf({ position: at(1), prices: [priceOf({})] });
  expect(book.isUsable(1000)).toBe(false);
  await book.fill(nowMs);
  expect([book.isUsable(1000), priceIn(book)]).toEqual([true, "prc_1"]);
});

test("a bell, and the log, cast doubt until it is read again", async () => {
  const { book, source } = bookOf({ position: at(1), prices: [] });
  await book.fill(nowMs);
  for (const cast of [() => book.doubt(), () => book.apply(2)]) {
    const { edition } = book;
    cast();
    expect([book.isUsable(1000), book.edition === edition]).toEqual([false, false]);
    source.list = { position: at(2), prices: [priceOf({ id: "prc_2" })] };
    await book.fill(nowMs);
    expect([book.isUsable(1000), priceIn(book)]).toEqual([true, "prc_2"]);
  }
});

test("what was read before a change that is known, or of another history, is not believed", async () => {
  const { book, source } = bookOf({ position: at(1), prices: [priceOf({})] });
  book.apply(5);
  await expect(book.fill(nowMs)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect([source.reads, book.isUsable(1000)]).toEqual([3, false]);
  source.list = { position: at(9, "two"), prices: [] };
  await expect(book.fill(nowMs)).rejects.toThrow();
  source.list = { position: at(5), prices: [] };
  await book.fill(nowMs);
  expect(book.isUsable(1000)).toBe(true);
});

test("a bell while it is read leaves it in doubt", async () => {
  const { book, source } = bookOf({ position: at(1), prices: [] });
  source.during = () => book.doubt();
  await book.fill(nowMs);
  expect(book.isUsable(1000)).toBe(false);
});

test("where metering does not answer, what was read before stands, and is asked for again soon", async () => {
  const { book, source } = bookOf({ position: at(1), prices: [priceOf({})] });
  await book.fill(nowMs);
  book.doubt();
  source.isDown = true;
  await book.fill(nowMs);
  expect([book.isUsable(1000), priceIn(book)]).toEqual([true, "prc_1"]);
  // No plan that is made now outlives that.
  expect(book.inForce(use, 1000).untilMs).toBe(1500);
  expect(book.isUsable(1500)).toBe(false);
  source.isDown = false;
  await book.fill(nowMs);
  expect(book.isUsable(1500)).toBe(true);
});

test("a price begins at its time, is of its resource, and says until when it is in force", async () => {
  const { book } = bookOf({
    position: at(1),
    prices: [
      priceOf({ id: "prc_1", resource: "chat.**" }),
      priceOf({ id: "prc_2", resource: "chat.**", effectiveAtMs: 5000 }),
      priceOf({ id: "prc_3", resource: "mail.*" }),
    ],
  });
  await book.fill(nowMs);
  expect(book.inForce(use, 4999)).toMatchObject({ price: { id: "prc_1" }, untilMs: 5000 });
  expect(book.inForce(use, 5000)).toMatchObject({
    price: { id: "prc_2" },
    untilMs: Number.POSITIVE_INFINITY,
  });
  expect(book.inForce({ ...use, resource: "" }, 5000).price).toBeUndefined();
});
