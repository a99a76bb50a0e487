import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readReplayConfig, USAGE } from "./config.ts";
import { readState, writeState } from "./state-file.ts";

it("has a default for everything but the file", () => {
  expect(readReplayConfig(["access.log"], {})).toMatchObject({
    file: "access.log",
    organization: "Replay",
    statePath: ".gatehouse/replay-replay.json",
    rootKeyPath: ".gatehouse/root.key",
    speed: undefined,
    batch: 200,
    transport: "grpc",
  });
});

it("prefers a key named on the command line to one of the environment", () => {
  const environment = { GATEHOUSE_ROOT_KEY: "gth_a", GATEHOUSE_MASTER_KEY: "gth_b" };
  expect(readReplayConfig(["f"], environment)).toMatchObject({ rootKey: "gth_a", masterKey: "gth_b" });
  const named = readReplayConfig(["f", "--root-key", "r", "--master-key", "m"], environment);
  expect(named).toMatchObject({
    rootKey: undefined,
    rootKeyPath: "r",
    masterKey: undefined,
    masterKeyPath: "m",
  });
});

it("puts quotas of flags on the organization or on every subaccount", () => {
  const args = [
    "f",
    "--quota",
    "bytes=5/month",
    "--department-quota",
    "requests=1/day",
    "--quota",
    "a=1/never",
  ];
  const { limits } = readReplayConfig(args, {})!;
  expect(limits.map(({ account, meter }) => `${account} ${meter}`)).toEqual([
    "org bytes",
    "org a",
    "* requests",
  ]);
});

it.each([
  [[], "one FILE is needed"],
  [["a", "b"], "one FILE is needed"],
  [["a", "--speeed", "1"], "--speeed"],
  [["a", "--speed", "0"], "--speed 0: must be a number"],
  [["a", "--batch", "1001"], "--batch 1001"],
  [["a", "--batch", "1.5"], "--batch 1.5: must be a whole number"],
  [["a", "--transport", "rest"], "--transport rest: must be one of grpc, connect"],
  [["a", "--metering", "127.0.0.1:7103"], "--metering 127.0.0.1:7103: must be a URL"],
  [["a", "--organization", "!"], "needs a letter or digit"],
])("refuses %j", (args, problem) => {
  expect(() => readReplayConfig(args, {})).toThrow(problem);
});

it("documents every option, and helps", () => {
  expect(readReplayConfig(["--help"], {})).toBeUndefined();
  for (const option of ["--speed", "--mint-key", "--settle", "--department-quota"])
    expect(USAGE).toContain(option);
});

it("keeps the master key where only its owner reads it", async () => {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-replay-"));
  try {
    const path = join(directory, "deep", "state.json");
    expect(await readState(path)).toBeUndefined();
    await writeState(path, { organizationId: "acc_1", masterKey: "gth_1" });
    await writeState(path, { organizationId: "acc_1", masterKey: "gth_2" });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readState(path)).toEqual({ organizationId: "acc_1", masterKey: "gth_2" });
    await writeFile(path, (await readFile(path, "utf8")).slice(0, 9));
    await expect(readState(path)).rejects.toThrow("is no state of a replay");
  } finally {
    await rm(directory, { recursive: true });
  }
});
