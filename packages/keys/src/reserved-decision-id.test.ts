import fc from "fast-check";
import { expect, test } from "vitest";
import { BASE62_ALPHABET } from "./base62.ts";
import { mintId } from "./id.ts";
import { ReservedDecisionIds } from "./reserved-decision-id.ts";

const SECRET = "a service secret of thirty-two characters";
const ids = new ReservedDecisionIds(SECRET);
const key = mintId("key");

test("an id says to whom it was given when it expires, at any replica with the secret", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8.64e15 / 100 }), (expiresAtMs) => {
      const id = ids.mint(key, expiresAtMs);
      expect(id).toMatch(/^dec_[0-9A-Za-z]{51}$/);
      expect(new ReservedDecisionIds(SECRET).expiryOf(id, key)).toBe(expiresAtMs);
    }),
  );
});

test("an id says nothing to another key, nor under another secret", () => {
  const id = ids.mint(key, 1_800_000_000_000);
  expect(ids.expiryOf(id, mintId("key"))).toBeUndefined();
  expect(ids.expiryOf(id, "")).toBeUndefined();
  expect(new ReservedDecisionIds(`${SECRET}.`).expiryOf(id, key)).toBeUndefined();
});

test("an id with any character changed, added or taken away is nobody's", () => {
  const id = ids.mint(key, 1_800_000_000_000);
  for (let at = 0; at < id.length; at++) {
    for (const other of [...BASE62_ALPHABET, "_", "-", "é", "\0"]) {
      if (other === id[at]) continue;
      expect(ids.expiryOf(id.slice(0, at) + other + id.slice(at + 1), key)).toBeUndefined();
    }
    expect(ids.expiryOf(id.slice(0, at) + id.slice(at + 1), key)).toBeUndefined();
    expect(ids.expiryOf(`${id.slice(0, at)}0${id.slice(at)}`, key)).toBeUndefined();
  }
});

test("the id of an ordinary decision is no reservation's", () => {
  expect(ids.expiryOf(mintId("dec"), key)).toBeUndefined();
  expect(ids.expiryOf("", key)).toBeUndefined();
  expect(ids.expiryOf("x".repeat(10_000), key)).toBeUndefined();
});
