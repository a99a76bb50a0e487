import { AuthzService } from "@gatehouse/proto/authz";
import { FeedService } from "@gatehouse/proto/identity";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CallRoom } from "./call-room.ts";
import { LARGE_REQUEST_BYTES, LARGE_REQUESTS_BYTES_MAX, REQUEST_BYTES_MAX } from "./limits.ts";

const { verify } = AuthzService.method;
const { getHead } = FeedService.method;

test("what services ask of each other has as much room again, which public calls never take", () => {
  const room = new CallRoom(2);
  const of = room.door();
  const [open, own] = [of(verify), of(getHead)];
  expect([open.enter(0), open.enter(0), open.enter(0)]).toEqual([true, true, false]);
  expect([own.enter(0), own.enter(0), own.enter(0)]).toEqual([true, true, false]);
  own.leave(0);
  expect(open.enter(0)).toBe(false);
  expect(own.enter(0)).toBe(true);
});

test("transports share the number of calls, and not the bytes of large ones", () => {
  const room = new CallRoom(100);
  const [grpc, http] = [room.door()(verify), room.door()(verify)];
  for (let held = 0; held + REQUEST_BYTES_MAX <= LARGE_REQUESTS_BYTES_MAX; held += REQUEST_BYTES_MAX) {
    expect(http.enter(REQUEST_BYTES_MAX)).toBe(true);
  }
  expect(http.enter(REQUEST_BYTES_MAX)).toBe(false);
  expect(http.enter(LARGE_REQUEST_BYTES)).toBe(true);
  expect(grpc.enter(REQUEST_BYTES_MAX)).toBe(true);
  expect(room.calls).toBe(LARGE_REQUESTS_BYTES_MAX / REQUEST_BYTES_MAX + 2);
});

test("whatever comes and goes, no bound is passed, and all room is given back", () => {
  const sizes = fc.integer({ min: 0, max: REQUEST_BYTES_MAX });
  const steps = fc.array(fc.record({ enter: fc.boolean(), bytes: sizes, resized: fc.option(sizes) }), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(steps, (all) => {
      const room = new CallRoom(30);
      const door = room.door()(verify);
      const held: number[] = [];
      for (const { enter, bytes, resized } of all) {
        if (enter) {
          const large = held.reduce((sum, each) => sum + (each > LARGE_REQUEST_BYTES ? each : 0), 0);
          const fits = bytes <= LARGE_REQUEST_BYTES || large + bytes <= LARGE_REQUESTS_BYTES_MAX;
          expect(door.enter(bytes)).toBe(held.length < 30 && fits);
          if (held.length < 30 && fits) held.push(bytes);
        } else if (held.length > 0) {
          let bytesHeld = held.shift()!;
          // What it turns out to be is never more than what was taken for it.
          if (resized !== null && resized < bytesHeld) {
            door.resize(bytesHeld, resized);
            bytesHeld = resized;
          }
          door.leave(bytesHeld);
        }
        expect(room.calls).toBe(held.length);
      }
      for (const bytes of held) door.leave(bytes);
      expect(room.calls).toBe(0);
      for (let sum = 0; sum + REQUEST_BYTES_MAX <= LARGE_REQUESTS_BYTES_MAX; sum += REQUEST_BYTES_MAX) {
        expect(door.enter(REQUEST_BYTES_MAX)).toBe(true);
      }
    }),
  );
});
