import { hash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { UsageBatchSchema } from "@gatehouse/proto/metering";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_UNITS } from "./bounds.ts";
import {
  filesAtDeath,
  openSpool,
  payloadsOf,
  seriesIn,
  temporaryDirectory,
  written,
} from "./testing/fixture.ts";

const PRICES = [undefined, { id: "prc_1", currency: "USD" }, { id: "prc_2", currency: "credits" }];

/** Units and cost, by minute, key and price. */
function costsOf(payloads: Iterable<Uint8Array>) {
  const costs: Record<string, { units: number; micros: number }> = {};
  for (const payload of payloads) {
    for (const { minute, keyId, priceId, currency, units, cost } of fromBinary(UsageBatchSchema, payload)
      .usage) {
      add(costs, `${minute}/${keyId}/${priceId}/${currency}`, Number(units), Number(cost));
    }
  }
  return costs;
}

function add(to: ReturnType<typeof costsOf>, name: string, units: number, micros: number): void {
  const sum = to[name] ?? { units: 0, micros: 0 };
  to[name] = { units: sum.units + units, micros: sum.micros + micros };
}

const charge = fc.record({
  key: fc.constantFrom("key_1", "key_2"),
  minute: fc.integer({ min: 0, max: 2 }),
  price: fc.constantFrom(...PRICES),
  units: fc.integer({ min: 1, max: MAX_UNITS }),
  micros: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: MAX_UNITS })),
  after: fc.constantFrom("nothing", "turn", "seal"),
});

test("loses no micro of any mix of priced and free charges, turns, seals and a death of the process", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(charge, { maxLength: 30 }), async (charges) => {
      const directory = temporaryDirectory();
      const spool = await openSpool({ directory });
      const expected: ReturnType<typeof costsOf> = {};
      for (const { key, minute, price, units, micros, after } of charges) {
        const cost = price === undefined ? 0 : micros;
        spool.charge(seriesIn(spool, { keyId: key, meter: "tokens", price }), minute, units, cost);
        const isWritten = written(spool);
        add(expected, `${minute}/${key}/${price?.id ?? ""}/${price?.currency ?? ""}`, units, cost);
        if (after === "turn") await isWritten;
        if (after === "seal") await spool.seal();
      }
      await written(spool);
      const copy = temporaryDirectory();
      filesAtDeath(directory, copy);
      await spool.seal();
      expect(costsOf(await payloadsOf(spool))).toEqual(expected);
      const next = await openSpool({ directory: copy });
      expect(costsOf(await payloadsOf(next))).toEqual(expected);
      await Promise.all([spool.stop(), next.stop()]);
    }),
    { numRuns: 30 },
  );
});

test("a recovered segment makes the batch that its process would have made", async () => {
  const directory = temporaryDirectory();
  const spool = await openSpool({ directory });
  const lease = spool.lease("wls_1");
  spool.granted(lease);
  spool.charge(
    seriesIn(spool, { meter: "tokens", resource: "chat", price: PRICES[1] }),
    29_000_000,
    4096,
    614,
  );
  spool.spend(lease, 614);
  await written(spool);
  const copy = temporaryDirectory();
  filesAtDeath(directory, copy);
  await spool.seal();
  const [recovered] = await payloadsOf(await openSpool({ directory: copy }));
  expect(hash("sha256", recovered!)).toBe(hash("sha256", (await payloadsOf(spool))[0]!));
});
