import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { shipLeftSpools } from "./left-spools.ts";
import { FakeMetering } from "./testing/fake-metering.ts";
import {
  filesAtDeath,
  openSpool,
  seriesIn,
  silent,
  temporaryDirectory,
  totalsOf,
  written,
} from "./testing/fixture.ts";
import { placeOfWorker, placesLeft } from "./worker-spool.ts";

const patiently = { timeout: 15_000, interval: 20 };

const PRODUCER = "authz-a";

/** What a worker that died had charged. */
async function leave(configured: string, number: number, count: number, units: number): Promise<void> {
  const { directory, producer } = placeOfWorker(
    { directory: configured, producer: PRODUCER },
    { number, count },
  );
  const alive = temporaryDirectory();
  const spool = await openSpool({ directory: alive, producer });
  spool.charge(seriesIn(spool, { keyId: `key_${number}_${count}` }), 7, units);
  await written(spool);
  mkdirSync(directory, { recursive: true });
  filesAtDeath(alive, directory);
}

test("the only worker spools where it is told to, one of several in a directory and under a name of its own", () => {
  const configured = { directory: "/spool", producer: PRODUCER };
  expect(placeOfWorker(configured, { number: 1, count: 1 })).toEqual(configured);
  expect(placeOfWorker(configured, { number: 2, count: 3 })).toEqual({
    directory: join("/spool", "2"),
    producer: "authz-a-2",
  });
});

test("what another number of workers left is found, whichever way the number changed", async () => {
  const directory = temporaryDirectory();
  const left = (count: number) =>
    placesLeft({ directory, producer: PRODUCER }, count).map(({ producer }) => producer);
  expect(placesLeft({ directory: join(directory, "none"), producer: PRODUCER }, 2)).toEqual([]);
  expect(left(1)).toEqual([]);
  await leave(directory, 1, 1, 1);
  expect(left(1)).toEqual([]);
  expect(left(2)).toEqual(["authz-a"]);
  for (const number of [1, 2, 11]) await leave(directory, number, 12, 1);
  mkdirSync(join(directory, "3"));
  mkdirSync(join(directory, "lost+found"));
  expect(left(1)).toEqual(["authz-a-1", "authz-a-2", "authz-a-11"]);
  expect(left(2)).toEqual(["authz-a", "authz-a-11"]);
  expect(left(12)).toEqual(["authz-a"]);
});

test("what is left is shipped under its own names, and a place that is still held is taken when it is free", async () => {
  const directory = temporaryDirectory();
  await leave(directory, 1, 1, 5);
  await leave(directory, 3, 3, 7);
  const configured = { directory, producer: PRODUCER };
  const places = placesLeft(configured, 2);
  const [alone] = places;
  const holder = await openSpool(alone!);
  const meterings = new Map<string, FakeMetering>();
  const metering = ({ producer }: { readonly producer: string }) => {
    const known = meterings.get(producer) ?? new FakeMetering();
    meterings.set(producer, known);
    return known;
  };
  const left = shipLeftSpools({
    places,
    sync: "cache",
    log: silent,
    register: (registered) => metering(registered).register(registered),
    send: (batch) => metering(batch).send(batch),
  });
  const unitsOf = (producer: string) =>
    Object.values(totalsOf(meterings.get(producer)?.payloads() ?? []).usage);
  await vi.waitFor(() => expect(unitsOf("authz-a-3")).toEqual([7]), patiently);
  expect(unitsOf("authz-a")).toEqual([]);
  await holder.stop();
  await vi.waitFor(() => expect(unitsOf("authz-a")).toEqual([5]), patiently);
  await left.stop(5000);
});
