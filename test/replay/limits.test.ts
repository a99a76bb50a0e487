import { expect, it } from "vitest";
import { parseQuotaFlag } from "./limit-wish.ts";
import { parseLimits } from "./limits-file.ts";

const parse = (entries: unknown) => parseLimits("limits.json", JSON.stringify(entries));

it("reads quotas and rates", () => {
  const quota = { units: 1000, window: "month", timeZone: "Europe/Paris" };
  const rate = { units: 5, interval: "10s", burst: 20 };
  expect(
    parse([
      { account: "org", meter: "bytes", quota },
      { account: "*", meter: "requests", resource: "orders.**", rate, enforcement: "WARN" },
    ]),
  ).toEqual([
    {
      account: "org",
      meter: "bytes",
      resource: "",
      allowance: { kind: "quota", units: 1000n, window: "MONTH", timeZone: "Europe/Paris" },
      enforcement: "ENFORCE",
    },
    {
      account: "*",
      meter: "requests",
      resource: "orders.**",
      allowance: { kind: "rate", units: 5n, intervalMs: 10_000, burst: 20n },
      enforcement: "WARN",
    },
  ]);
});

it("names everything that is wrong at once", () => {
  const bad = [
    { account: "ORG", meter: "Bytes", quota: { units: 1.5, window: "year" }, enforce: true },
    { account: "org", meter: "bytes" },
    { account: "org", meter: "bytes", rate: { units: 0, interval: "10" } },
    7,
  ];
  const parts = [
    "[0].enforce is not known",
    "[0].account",
    "[0].meter",
    "[0].quota.window",
    "[0].quota.units",
  ];
  const more = ["[1] must have either", "[2].rate.units", "[2].rate.interval", "[3] must be an object"];
  for (const part of [...parts, ...more]) expect(() => parse(bad)).toThrow(part);
});

it("reads a quota from a flag", () => {
  expect(parseQuotaFlag("org", "--quota", "bytes=1_000/never")).toMatchObject({
    meter: "bytes",
    allowance: { kind: "quota", units: 1000n, window: "NEVER" },
  });
  for (const bad of ["bytes", "bytes=/month", "bytes=1/year", "bytes=-1/month", "Bytes=1/month"]) {
    expect(() => parseQuotaFlag("org", "--quota", bad)).toThrow(`--quota ${bad}: must be METER=UNITS/WINDOW`);
  }
});
