import { crc32 } from "node:zlib";

/**
 * A frame: `[length u32][crc32 u32][payload]`, little endian. It is written whole with one call or counts as never
 * written: whoever reads stops at the first frame that is short or does not match its checksum.
 */

/** Bytes before the payload. */
export const FRAME_HEADER_BYTES = 8;

/** A turn flushes far earlier; a longer length in a file is garbage, not a frame. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** Fills in the header of a frame whose payload already stands behind it. */
export function stampFrame(frame: Buffer): void {
  frame.writeUInt32LE(frame.length - FRAME_HEADER_BYTES, 0);
  frame.writeUInt32LE(crc32(frame.subarray(FRAME_HEADER_BYTES)), 4);
}

/** The payloads of the whole frames at the start of `bytes`, as views. */
export function* wholeFrames(bytes: Buffer): Generator<Buffer, void, undefined> {
  let at = 0;
  while (at + FRAME_HEADER_BYTES <= bytes.length) {
    const start = at + FRAME_HEADER_BYTES;
    const end = start + bytes.readUInt32LE(at);
    // A run of zeros, as file systems leave after a power cut, would be a valid empty frame.
    if (end === start || end > bytes.length || end - start > MAX_FRAME_BYTES) {
      return;
    }
    const payload = bytes.subarray(start, end);
    const checksum = bytes.readUInt32LE(at + 4);
    // So would a run of ones behind a length of 4, as erased flash reads: their checksum is all ones, and of no other four.
    if (crc32(payload) !== checksum || (payload.length === 4 && checksum === 0xffff_ffff)) {
      return;
    }
    yield payload;
    at = end;
  }
}
