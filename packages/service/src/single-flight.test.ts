import { describe, expect, it } from "vitest";
import { SingleFlight } from "./single-flight.ts";

function controlled(timeoutMs = 5000, inFlightMax?: number) {
  const runs: {
    key: string;
    signal: AbortSignal;
    resolve: (value: string) => void;
    reject: (e: Error) => void;
  }[] = [];
  const flights = new SingleFlight<string, string>({
    timeoutMs,
    inFlightMax,
    run: (key, signal) => new Promise((resolve, reject) => void runs.push({ key, signal, resolve, reject })),
  });
  return { runs, flights };
}

describe("single flight", () => {
  it("makes one request for callers of one key, and another for another key", async () => {
    const { runs, flights } = controlled();
    const callers = [flights.get("a"), flights.get("a"), flights.get("b")];
    expect(runs.map(({ key }) => key)).toEqual(["a", "b"]);
    runs[0]!.resolve("A");
    runs[1]!.resolve("B");
    expect(await Promise.all(callers)).toEqual(["A", "A", "B"]);
    expect(flights.size).toBe(0);
  });

  it("lets a caller leave without disturbing the others or the request", async () => {
    const { runs, flights } = controlled();
    const aborter = new AbortController();
    const leaver = flights.get("a", aborter.signal);
    const stayer = flights.get("a");
    aborter.abort(new Error("gone"));
    await expect(leaver).rejects.toThrow("gone");
    expect(runs[0]!.signal.aborted).toBe(false);
    runs[0]!.resolve("A");
    expect(await stayer).toBe("A");
  });

  it("keeps no failure", async () => {
    const { runs, flights } = controlled();
    const first = flights.get("a");
    runs[0]!.reject(new Error("no luck"));
    await expect(first).rejects.toThrow("no luck");
    const second = flights.get("a");
    runs[1]!.resolve("A");
    expect(await second).toBe("A");
  });

  it("abandons a request that hangs at its own deadline, and the next caller makes a new one", async () => {
    const { runs, flights } = controlled(20);
    await expect(flights.get("a")).rejects.toMatchObject({
      code: "UNAVAILABLE",
      reason: "SOURCE_UNAVAILABLE",
    });
    expect(runs[0]!.signal.aborted).toBe(true);
    const next = flights.get("a");
    expect(runs).toHaveLength(2);
    runs[0]!.resolve("late");
    runs[1]!.resolve("A");
    expect(await next).toBe("A");
  });

  it("refuses more keys in flight than its bound, but not more callers", async () => {
    const { runs, flights } = controlled(5000, 1);
    const first = flights.get("a");
    await expect(flights.get("b")).rejects.toMatchObject({ reason: "OVERLOADED" });
    const joined = flights.get("a");
    runs[0]!.resolve("A");
    expect(await Promise.all([first, joined])).toEqual(["A", "A"]);
  });
});
