import { AggregatorRegistry, Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import {
  counter,
  durations,
  gauge,
  Histogram,
  histogram,
  joined,
  labelled,
  registerMetrics,
} from "./metric.ts";

async function textOf(metrics: Parameters<typeof registerMetrics>[1]): Promise<string> {
  const registry = new Registry();
  registerMetrics(registry, metrics);
  return registry.metrics();
}

describe("metrics that are read when somebody scrapes", () => {
  it("show what is counted now, under Prometheus's names", async () => {
    let waiting = 1;
    const codes = { VALID: 2, NOT_FOUND: 0 };
    const metrics = [
      gauge("gatehouse_waiting", "What waits.", "sum", () => waiting),
      counter("gatehouse_decisions_total", "Decisions.", () => codes, "code"),
    ];
    expect(await textOf(metrics)).toBe(
      [
        "# HELP gatehouse_waiting What waits.",
        "# TYPE gatehouse_waiting gauge",
        "gatehouse_waiting 1",
        "",
        "# HELP gatehouse_decisions_total Decisions.",
        "# TYPE gatehouse_decisions_total counter",
        'gatehouse_decisions_total{code="VALID"} 2',
        'gatehouse_decisions_total{code="NOT_FOUND"} 0',
        "",
      ].join("\n"),
    );
    waiting = 5;
    codes.NOT_FOUND++;
    const later = await textOf(metrics);
    expect(later).toContain("gatehouse_waiting 5");
    expect(later).toContain('gatehouse_decisions_total{code="NOT_FOUND"} 1');
  });

  it("say of an age without a beginning that it is infinite", async () => {
    const age = gauge("age_seconds", "Age.", "max", () => Number.POSITIVE_INFINITY);
    expect(await textOf([age])).toContain("age_seconds +Inf");
  });

  it("count in cumulative buckets, in the base unit", async () => {
    const waits = new Histogram([1, 10], 0.001);
    for (const ms of [0.5, 1, 7, 70]) waits.observe(ms);
    const text = await textOf([histogram("wait_seconds", "Waits.", waits)]);
    expect(text.split("\n").slice(2)).toEqual([
      'wait_seconds_bucket{le="0.001"} 2',
      'wait_seconds_bucket{le="0.01"} 3',
      'wait_seconds_bucket{le="+Inf"} 4',
      "wait_seconds_sum 0.0785",
      "wait_seconds_count 4",
      "",
    ]);
  });

  it("tell a warm Verify's twentieths of a millisecond apart", () => {
    const bounds = durations()
      .samples("d", {})
      .flatMap(({ labels }) => (typeof labels.le === "number" ? [labels.le] : []));
    expect(bounds.filter((seconds) => seconds < 0.001).length).toBeGreaterThanOrEqual(8);
    expect(bounds).toEqual([...new Set(bounds)].sort((a, b) => a - b));
  });

  it("become one metric with a label, where two things have the same", async () => {
    const feed = (age: number) => [gauge("age_seconds", "Age.", "max", () => age)];
    const both = joined(labelled(feed(1), "feed", "identity"), labelled(feed(2), "feed", "metering"));
    expect(both).toHaveLength(1);
    const text = await textOf(both);
    expect(text).toContain('age_seconds{feed="identity"} 1');
    expect(text).toContain('age_seconds{feed="metering"} 2');
  });

  it("add up over workers as each says: sums, the oldest, the one furthest behind", async () => {
    const worker = async (n: number) => {
      const registry = new Registry();
      const waits = new Histogram([1]);
      waits.observe(n);
      registerMetrics(registry, [
        counter("calls_total", "Calls.", () => n),
        gauge("age_seconds", "Age.", "max", () => n),
        gauge("revision", "Revision.", "min", () => n),
        histogram("waits", "Waits.", waits),
      ]);
      // As it travels between processes.
      return JSON.parse(JSON.stringify(await registry.getMetricsAsJSON()));
    };
    const text = await AggregatorRegistry.aggregate([await worker(1), await worker(4)]).metrics();
    for (const line of [
      "calls_total 5",
      "age_seconds 4",
      "revision 1",
      'waits_bucket{le="1"} 1',
      "waits_count 2",
    ])
      expect(text.split("\n")).toContain(line);
  });
});
