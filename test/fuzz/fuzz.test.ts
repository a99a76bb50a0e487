import { expect, test } from "vitest";
import { FRAME_HEADER_BYTES } from "../../services/authz/src/spool/frame.ts";
import { Random } from "./random.ts";
import { howToRepeat, tryInput, tryInputs } from "./run.ts";
import { segmentsReadBy } from "./spool-targets.ts";
import { targets } from "./targets.ts";

// A short run of what `npm run fuzz` does for as long as one likes.
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const INPUTS = 3000;

test.each(Object.keys(targets))("no input breaks %s", (name) => {
  const finding = tryInputs(name, SEED, 0, INPUTS);
  expect(finding && [howToRepeat(finding, SEED), finding.error], `FUZZ_SEED=${SEED}`).toBeUndefined();
});

test("a reader of segments that trusts lengths is found out", () => {
  function* trusting(bytes: Buffer): Generator<Buffer> {
    for (let at = 0; at + FRAME_HEADER_BYTES <= bytes.length; ) {
      const end = at + FRAME_HEADER_BYTES + bytes.readUInt32LE(at);
      yield bytes.subarray(at + FRAME_HEADER_BYTES, end);
      at = end;
    }
  }
  const attack = () => {
    for (let n = 0; n < INPUTS; n++) tryInput((random) => segmentsReadBy(trusting, random), SEED, n);
  };
  expect(attack).toThrow("no whole frame");
});

test("an input is the same whenever it is tried", () => {
  const seen: string[] = [];
  for (let i = 0; i < 2; i++) tryInput((random) => void seen.push(random.text("abc", 50)), 7, 11);
  expect(seen[0]).toBe(seen[1]);
});

test("mutation reaches every kind of damage", () => {
  const bytes = Buffer.from("a frame of some bytes");
  const lengths = new Set<number>();
  for (let n = 0; n < 500; n++) lengths.add(new Random(n).mutated(bytes).length - bytes.length);
  expect([...lengths].some((difference) => difference < 0)).toBe(true);
  expect(lengths).toContain(0);
  expect([...lengths].some((difference) => difference > 0)).toBe(true);
});
