import fc from "fast-check";
import { expect, test } from "vitest";
import { bookEvents, type ReportedEvents } from "./book-events.ts";
import type { Claim, ReportTx } from "./report-store.ts";
import type { MinuteUsage } from "./usage.ts";
import type { UsageEvent } from "./usage-event.ts";

const DAY_MS = 86_400_000;
const reckoning = { costOf: () => 0 };

/** What has been booked, and every row of usage that was written. */
class Books {
  readonly events = new Map<string, Buffer>();
  readonly usage: MinuteUsage[] = [];

  get tx(): ReportTx {
    const { events, usage } = this;
    return {
      pricing: { prices: async () => [], wallets: async () => [], post: async () => {} },
      limitsOn: async () => [],
      async claim(claims: readonly Claim[]) {
        const taken = new Map<Claim, Buffer>();
        for (const claim of claims) {
          const name = nameOf(claim.source, claim.event);
          const before = events.get(name);
          if (before === undefined) events.set(name, claim.event.content);
          else taken.set(claim, before);
        }
        return taken;
      },
      async bookUsage(rows: readonly MinuteUsage[]) {
        usage.push(...rows);
      },
    } as unknown as ReportTx;
  }
}

function nameOf(source: string, { id, atMs }: UsageEvent): string {
  return `${source} ${Math.floor(atMs / DAY_MS)} ${id}`;
}

const event = fc
  .record({
    id: fc.constantFrom("a", "b", "c"),
    day: fc.nat(1),
    minute: fc.nat(1),
    key: fc.constantFrom("key_1", "key_2"),
    units: fc.nat(2),
  })
  .map(({ id, day, minute, key, units }): UsageEvent => {
    const atMs = day * DAY_MS + minute * 60_000;
    const node = { keyId: key, accountId: "acc_1", nodeIds: [] };
    return {
      id,
      node,
      meter: "tokens",
      units,
      atMs,
      resource: "",
      content: Buffer.from(`${key}${units}${atMs}`),
    };
  });
const call = fc
  .record({ source: fc.constantFrom("one", "other"), events: fc.array(event, { maxLength: 4 }) })
  .map(({ source, events }): ReportedEvents => ({ source, events: new Map(events.entries()) }));

test("calls of a round are answered as one after another, and a series is written once in each", async () => {
  const rounds = fc.array(fc.array(call, { minLength: 1, maxLength: 4 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(rounds, async (rounds) => {
      const books = new Books();
      const known = new Map<string, UsageEvent>();
      for (const calls of rounds) {
        const written = books.usage.length;
        const answers = await bookEvents(books.tx, calls, reckoning);
        expect(answers).toEqual(calls.map((each) => naive(each, known)));
        const series = books.usage.slice(written).map(({ minute, keyId }) => `${minute} ${keyId}`);
        expect(new Set(series).size).toBe(series.length);
      }
      expect(unitsByKey(books.usage)).toEqual(
        unitsByKey([...known.values()].map(({ node, units }) => ({ keyId: node.keyId, units }))),
      );
    }),
  );
});

function naive({ source, events }: ReportedEvents, known: Map<string, UsageEvent>) {
  const answer = { booked: 0, duplicates: 0, mismatches: [] as number[] };
  for (const [place, event] of events) {
    const name = nameOf(source, event);
    const before = known.get(name);
    if (before === undefined) {
      known.set(name, event);
      answer.booked++;
    } else if (before.content.equals(event.content)) answer.duplicates++;
    else answer.mismatches.push(place);
  }
  return answer;
}

function unitsByKey(rows: readonly { readonly keyId: string; readonly units: bigint | number }[]) {
  const sums = new Map<string, bigint>();
  for (const { keyId, units } of rows) {
    if (Number(units) > 0) sums.set(keyId, (sums.get(keyId) ?? 0n) + BigInt(units));
  }
  return Object.fromEntries([...sums].sort());
}
