import { timingSafeEqual } from "node:crypto";

/**
 * Makes a comparison of ASCII texts of one length whose time does not depend on where they differ; other text
 * equals nothing. The buffers are reused: allocating them per call costs more than comparing.
 */
export function constantTimeEquality(length: number): (left: string, right: string) => boolean {
  // UTF-8, not latin1: latin1 drops the high byte, and U+0141 would equal "A". Room for three bytes a character,
  // so that a text is written whole and its byte count tells whether it was ASCII.
  const left = Buffer.alloc(3 * length);
  const right = Buffer.alloc(3 * length);
  const leftAscii = left.subarray(0, length);
  const rightAscii = right.subarray(0, length);
  return (leftText, rightText) => {
    if (leftText.length !== length || rightText.length !== length) return false;
    if (left.write(leftText, "utf8") !== length || right.write(rightText, "utf8") !== length) return false;
    return timingSafeEqual(leftAscii, rightAscii);
  };
}
