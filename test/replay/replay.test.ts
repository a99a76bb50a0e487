import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { anyPorts, type Stack, startStack } from "@gatehouse/stack";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readReplayConfig } from "./config.ts";
import { silent } from "./progress.ts";
import { type ReplayResult, replay } from "./replay.ts";
import { isExact, report } from "./report.ts";

/** The folder of the reference traces, which are not part of the project. */
const TRACES = process.env.GATEHOUSE_TRACES;
const accessLog = join(TRACES ?? "", "apache-access.log");
const llmTrace = join(TRACES ?? "", "azure-llm-inference-trace-conv.csv");
const llmColumns = ["--meters", "context=ContextTokens,generated=GeneratedTokens"];

let directory: string;
let stack: Stack;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-replay-"));
  stack = await startStack({
    directory,
    ports: anyPorts,
    postgresSettings: ["fsync=off"],
    logLevel: "error",
  });
});

afterAll(async () => {
  await stack?.close();
  await rm(directory, { recursive: true, force: true });
});

function run(organization: string, file: string, ...args: string[]): Promise<ReplayResult> {
  const { identity, authz, metering, rootKeyPath } = stack;
  const where = [
    ...["--identity", `http://${identity.grpcAddress}`, "--authz", `http://${authz.grpcAddress}`],
    ...["--metering", `http://${metering.grpcAddress}`, "--root-key", rootKeyPath],
    ...["--organization", organization, "--state", join(directory, `${organization}.json`)],
  ];
  return replay(readReplayConfig([file, ...where, ...args], {})!, silent);
}

/** Sums as the organization's usage has them. */
function booked({ usage, meters }: ReplayResult): bigint[] {
  return meters.map((meter) => usage.parent.get(meter) ?? 0n);
}

const line = (client: number, bytes: number | "-") =>
  `10.0.0.${client} - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 ${bytes} "-" "-"\n`;

async function small(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

describe("a small log", () => {
  it("is booked to the unit, again in a second run, and its malformed lines are named", async () => {
    const lines = [line(1, 100), line(2, "-"), "garbage\n", line(1, 50)];
    const file = await small("small.log", lines.join(""));
    const first = await run("Small", file);
    expect(first.differences).toEqual([]);
    expect(first.accounts.created).toBe(2);
    expect(booked(first)).toEqual([3n, 150n]);
    expect(report(first, 1)).toContain("small.log:3: is not: address");
    expect(report(first, 1)).toMatch(/the other 1 +1 +0 +0\n/);
    expect((await stat(join(directory, "Small.json"))).mode & 0o777).toBe(0o600);

    const second = await run("Small", file);
    expect(second.accounts.created).toBe(0);
    expect(second.organization.isNew).toBe(false);
    expect(booked(second)).toEqual([3n, 150n]);
    expect(isExact(second)).toBe(true);
  });

  it("is not replayed into an organization whose key is not at hand", async () => {
    const file = await small("one.log", line(1, 1));
    await run("Kept", file);
    await rm(join(directory, "Kept.json"));
    await expect(run("Kept", file)).rejects.toThrow("has no key of it");
    const minted = await run("Kept", file, "--mint-key");
    expect(isExact(minted)).toBe(true);
    await expect(run("Small", file, "--master-key", stack.rootKeyPath)).rejects.toThrow(
      "no living master key",
    );
  });

  it("is refused by the limit that is used up, and by no other", async () => {
    const file = await small("limited.log", line(1, 10).repeat(30) + line(2, 10).repeat(30));
    const limits = await small(
      "limits.json",
      JSON.stringify([{ account: "ip-10-0-0-1", meter: "requests", quota: { units: 12, window: "never" } }]),
    );
    const result = await run("Limited", file, "--limits", limits, "--quota", "bytes=1000/never");
    expect(result.differences).toEqual([]);
    expect(result.faults).toEqual([]);
    expect(result.tally.total("admitted")).toEqual([42n, 420n]);
    expect(report(result, 10)).toMatch(/QUOTA_EXCEEDED +12 requests\/never on ip-10-0-0-1 +1 +18 +180/);
  });
});

describe.skipIf(TRACES === undefined)(
  "the reference traces (skipped unless GATEHOUSE_TRACES names their folder)",
  () => {
    it("the access log is booked to the byte, over a subaccount for each of 1753 clients", async () => {
      const result = await run("Site", accessLog);
      expect(result.differences).toEqual([]);
      expect(result.survey).toMatchObject({ lines: 10_000, malformed: 0, damaged: 1, stepsBack: 4915 });
      expect(result.accounts.created).toBe(1753);
      expect(booked(result)).toEqual([10_000n, 2_747_282_740n]);
      expect(isExact(result)).toBe(true);
    }, 180_000);

    it("the LLM trace is booked to the token", async () => {
      const result = await run("Models", llmTrace, ...llmColumns);
      expect(result.differences).toEqual([]);
      expect(booked(result)).toEqual([19_366n, 22_361_870n, 4_088_665n]);
      expect(isExact(result)).toBe(true);
    }, 60_000);

    it("with limits, what is admitted and refused is what was sent, and each quota gives what it holds", async () => {
      const quotas = ["--quota", "bytes=1000000000/month", "--department-quota", "requests=1500/never"];
      const site = await run("Limited site", accessLog, "--by", "hash:5", ...quotas);
      expect(site.differences).toEqual([]);
      expect(site.faults).toEqual([]);
      const departments = [...site.tally.accounts.values()];
      for (const { admitted } of departments) expect(admitted[0]).toBeLessThanOrEqual(1500n);
      expect(site.tally.total("admitted")[1]).toBeLessThanOrEqual(1_000_000_000n);

      const tokens = ["--quota", "context=15000000/month", "--department-quota", "generated=400000/day"];
      const models = await run("Limited models", llmTrace, ...llmColumns, ...tokens);
      expect(models.differences).toEqual([]);
      expect(models.faults).toEqual([]);
      expect(models.tally.total("admitted")[1]).toBeLessThanOrEqual(15_000_000n);
    }, 60_000);
  },
);
