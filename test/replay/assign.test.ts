import { expect, it } from "vitest";
import { assigner } from "./assign.ts";

const slug = /^(?=.{1,63}$)[a-z0-9]+(-[a-z0-9]+)*$/;
const at = (address: string) =>
  assigner("address", "access-log").assign({ timeMs: 0, address, units: [] }, "");

it("gives every address a subaccount of its own, whatever characters it has", () => {
  expect(at("83.149.9.216")).toEqual({ slug: "ip-83-149-9-216", name: "83.149.9.216" });
  const addresses = [
    "::1",
    "0::1",
    "fe80::1%eth0",
    "a.b",
    "a-b",
    "A-b",
    "-",
    "é",
    "x".repeat(5000),
    "1.2.3.4",
  ];
  const callers = addresses.map(at);
  expect(new Set(callers.map((caller) => caller.slug)).size).toBe(addresses.length);
  for (const caller of callers) {
    expect(caller.slug).toMatch(slug);
    expect(caller.name.length).toBeLessThanOrEqual(100);
  }
});

it("spreads rows over departments evenly, and the same in every run", () => {
  const { assign, rule } = assigner("hash:8", "csv");
  expect(rule).toBe("8 departments by SHA-256 of the row");
  const counts = new Map<string, number>();
  for (let row = 0; row < 8000; row++) {
    const caller = assign({ timeMs: 0, units: [] }, `row ${row}`);
    counts.set(caller.slug, (counts.get(caller.slug) ?? 0) + 1);
  }
  expect(counts.size).toBe(8);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  expect(assign({ timeMs: 0, units: [] }, "row 1").slug).toBe("department-2");
});

it("spreads rows over departments of very different sizes: the k-th gets a k-th of what the first gets", () => {
  const { assign, rule } = assigner("zipf:12", "csv");
  expect(rule).toBe("12 departments by SHA-256 of the row, the k-th with a k-th of the first's share");
  const counts = new Map<string, number>();
  for (let row = 0; row < 31_032; row++) {
    const { slug } = assign({ timeMs: 0, units: [] }, `row ${row}`);
    counts.set(slug, (counts.get(slug) ?? 0) + 1);
  }
  // 1 + 1/2 + … + 1/12 = 3.1032
  for (let k = 1; k <= 12; k++) {
    expect(Math.abs(counts.get(`department-${k}`)! - 10_000 / k)).toBeLessThan(250);
  }
  expect(assigner("zipf:1", "csv").assign({ timeMs: 0, units: [] }, "row 1").slug).toBe("department-1");
});

it("keeps all calls of an address in one department", () => {
  const { assign } = assigner("hash:3", "access-log");
  const one = assign({ timeMs: 0, address: "10.0.0.1", units: [] }, "a line");
  expect(assign({ timeMs: 9, address: "10.0.0.1", units: [] }, "another")).toEqual(one);
});

it("refuses rules that cannot hold", () => {
  expect(() => assigner("address", "csv")).toThrow("a CSV has no client addresses");
  for (const by of ["hash:0", "hash:", "hash:99999", "zipf:0", "zipf:10001", "zipf", "name"]) {
    expect(() => assigner(by, "csv")).toThrow(`--by ${by}: must be`);
  }
});
