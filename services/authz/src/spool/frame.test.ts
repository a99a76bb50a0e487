import fc from "fast-check";
import { expect, test } from "vitest";
import { FRAME_HEADER_BYTES, stampFrame, wholeFrames } from "./frame.ts";

function frameOf(payload: Uint8Array): Buffer {
  const frame = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), payload]);
  stampFrame(frame);
  return frame;
}

test("whole frames are read back, up to the one that was torn", () => {
  const payloads = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(payloads, fc.nat(39), (written, kept) => {
      const frames = written.map(frameOf);
      const last = frames.pop()!;
      const torn = Buffer.concat([...frames, last.subarray(0, Math.min(kept, last.length - 1))]);
      expect([...wholeFrames(torn)].map((payload) => payload.toString("hex"))).toEqual(
        written.slice(0, -1).map((payload) => Buffer.from(payload).toString("hex")),
      );
    }),
  );
});

test.each([
  ["zeros", 0x00],
  ["ones", 0xff],
])("what a storage leaves of a frame that it lost is none: %s", (_what, fill) => {
  const whole = frameOf(Buffer.from("a frame that stays"));
  for (let length = 1; length <= 64; length++) {
    for (let kept = 0; kept <= FRAME_HEADER_BYTES; kept++) {
      const lost = frameOf(Buffer.alloc(length, 1)).fill(fill, kept);
      expect([...wholeFrames(Buffer.concat([whole, lost]))], `${length} bytes, ${kept} kept`).toHaveLength(1);
    }
  }
});
