import { writeSync } from "node:fs";
import { expect, test } from "vitest";
import { Segment } from "./segment.ts";
import { Series } from "./series.ts";
import { totalsOfAggregate } from "./testing/fixture.ts";
import { Turn } from "./turn.ts";

test("frames whose fsync fails are reported as not recorded, and are in no batch", async () => {
  // /dev/null takes every write and refuses fsync.
  const segment = new Segment({ sequence: 1, path: "/dev/null", isDurable: true, write: writeSync });
  const turn = new Turn();
  turn.beginSegment();
  const errors: (Error | undefined)[] = [];
  const series = new Series(Buffer.alloc(0));
  for (let frame = 0; frame < 2; frame++) {
    turn.charge(series, 7, 1);
    segment.append(turn.take().bytes, (error) => errors.push(error));
  }
  expect(errors).toEqual([]);
  await segment.finish();
  expect(errors).toEqual([expect.any(Error), expect.any(Error)]);
  expect(segment.isBroken).toBe(true);
  expect(totalsOfAggregate(segment.aggregate).usage).toEqual({});
  turn.charge(series, 7, 1);
  segment.append(turn.take().bytes, (error) => errors.push(error));
  expect(errors.length).toBe(3);
});
