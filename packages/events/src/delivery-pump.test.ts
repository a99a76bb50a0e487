import { describe, expect, it, vi } from "vitest";
import { type Deliveries, DeliveryPump } from "./delivery-pump.ts";
import type { Outcome } from "./post.ts";

const patiently = { timeout: 15_000, interval: 20 };

interface Waiting {
  readonly receiver: string;
  readonly n: number;
}

const taken: Outcome = { taken: true, final: false, error: "" };
const failed: Outcome = { taken: false, final: false, error: "HTTP 500" };

/** Deliveries in memory, claimed once each. */
function queue(waiting: Waiting[]): Deliveries<Waiting> & { settled: Waiting[] } {
  const settled: Waiting[] = [];
  return {
    settled,
    async claim({ limit, perReceiver, room }) {
      const left = new Map(room);
      const claimed: Waiting[] = [];
      for (const each of [...waiting]) {
        const fits = left.get(each.receiver) ?? perReceiver;
        if (claimed.length === limit || fits === 0) continue;
        left.set(each.receiver, fits - 1);
        claimed.push(...waiting.splice(waiting.indexOf(each), 1));
      }
      return claimed;
    },
    async settle(delivery) {
      settled.push(delivery);
    },
  };
}

const many = (receiver: string, count: number) => Array.from({ length: count }, (_, n) => ({ receiver, n }));

describe("the pump", () => {
  it("lets a receiver that hangs hold up nobody, and interrupts it at the end", async () => {
    const deliveries = queue([...many("hangs", 50), ...many("works", 20)]);
    let hanging = 0;
    const pump = new DeliveryPump<Waiting>({
      deliveries,
      maxInFlight: 8,
      onSettled: () => void pump.fill(),
      onError: () => {},
      send: async ({ receiver }, signal) => {
        if (receiver === "works") return taken;
        hanging++;
        return new Promise((resolve) => signal.addEventListener("abort", () => resolve(failed)));
      },
    });
    await pump.fill();
    await vi.waitFor(() => expect(deliveries.settled).toHaveLength(20), patiently);
    expect(hanging).toBe(4);
    await pump.stop();
    expect(deliveries.settled).toHaveLength(24);
    await pump.fill();
    expect(deliveries.settled).toHaveLength(24);
  });

  it("attempts one at a time with a receiver that fails, and more again once it works", async () => {
    const deliveries = queue(many("a", 30));
    let underWay = 0;
    const most: number[] = [];
    let working = false;
    let fills = Promise.resolve();
    const pump = new DeliveryPump<Waiting>({
      deliveries,
      onSettled: () => {
        fills = fills.then(() => pump.fill());
      },
      onError: () => {},
      send: async ({ n }) => {
        most.push(++underWay);
        await new Promise(setImmediate);
        underWay--;
        if (n === 14) working = true;
        return working ? taken : failed;
      },
    });
    await pump.fill();
    await vi.waitFor(() => expect(deliveries.settled).toHaveLength(30), patiently);
    expect(Math.max(...most.slice(4, 14))).toBe(1);
    expect(Math.max(...most.slice(15))).toBeGreaterThan(1);
    expect(Math.max(...most)).toBe(4);
  });

  it("goes on where an outcome could not be written down", async () => {
    const deliveries = queue(many("a", 2));
    const onError = vi.fn();
    const settle = vi.fn().mockRejectedValueOnce(new Error("no database")).mockResolvedValue(undefined);
    const options = {
      deliveries: { ...deliveries, settle },
      send: async () => taken,
      onSettled: () => {},
      onError,
    };
    const pump = new DeliveryPump<Waiting>(options);
    await pump.fill();
    await vi.waitFor(() => expect(onError).toHaveBeenCalledTimes(1), patiently);
    expect(settle).toHaveBeenCalledTimes(2);
  });
});
