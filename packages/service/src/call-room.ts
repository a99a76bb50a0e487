import type { DescMethod } from "@bufbuild/protobuf";
import { Caller } from "@gatehouse/proto/common";
import { overloaded } from "./failure.ts";
import { accessRule } from "./handlers.ts";
import { CALLS_MAX, LARGE_REQUEST_BYTES, LARGE_REQUESTS_BYTES_MAX } from "./limits.ts";

/** What is said where there is no room. */
export const noRoom = overloaded("this replica has as many calls in flight as it takes");

/** The room that the calls of one RPC have. */
export interface Room {
  /** False: there is none; the call is to be refused with {@link noRoom}, before anything else is done for it. */
  enter(requestBytes: number): boolean;
  /** Once for each `enter` that was true, with the same bytes. */
  leave(requestBytes: number): void;
  /** What was entered with `from` bytes turned out to have `to`, and leaves with these. */
  resize(from: number, to: number): void;
}

/**
 * The room that the calls in flight of a process have, over both transports. Beyond it calls are refused before they
 * are decoded, which costs little, and memory stops growing.
 *
 * What Gatehouse's own services ask of each other gets as much room again: a crowd of callers at one service's door
 * must not keep out the fills, leases and proofs that another one's answers rest on.
 */
export class CallRoom {
  readonly #maxCalls: number;
  #calls = 0;

  constructor(maxCalls = CALLS_MAX) {
    this.#maxCalls = maxCalls;
  }

  /** How many calls are in flight. */
  get calls(): number {
    return this.#calls;
  }

  /**
   * For one transport, which calls this once. Large requests are also held to a sum of bytes: here each transport has
   * its own, since HTTP enters when a request begins, and who never ends sending it keeps out nobody over gRPC.
   */
  door(): (method: DescMethod) => Room {
    let largeBytes = 0;
    return (method) => {
      const share = accessRule(method).caller === Caller.SERVICE ? 2 : 1;
      const maxCalls = this.#maxCalls * share;
      const maxBytes = LARGE_REQUESTS_BYTES_MAX * share;
      return {
        enter: (bytes) => {
          if (this.#calls >= maxCalls) return false;
          const large = largeOf(bytes);
          if (large > 0 && largeBytes + large > maxBytes) return false;
          largeBytes += large;
          this.#calls++;
          return true;
        },
        leave: (bytes) => {
          this.#calls--;
          largeBytes -= largeOf(bytes);
        },
        resize: (from, to) => {
          largeBytes += largeOf(to) - largeOf(from);
        },
      };
    };
  }
}

function largeOf(bytes: number): number {
  return bytes > LARGE_REQUEST_BYTES ? bytes : 0;
}
