import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { differingFiles } from "../../scripts/check-protos.ts";
import { findNatsServer, isRecentEnough } from "../../scripts/setup-tests.ts";
import { countTests } from "../../scripts/test-counts.ts";

function directoryWith(files: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-house-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, name), text, { mode: 0o755 });
  }
  return directory;
}

test("generated code that was edited, forgotten or left over is found", () => {
  const generated = directoryWith({ same: "a", edited: "a", forgotten: "a" });
  const committed = directoryWith({ same: "a", edited: "b", leftOver: "a" });
  expect(differingFiles(generated, committed)).toEqual(["edited", "forgotten", "leftOver"]);
});

test.each([
  ["nats-server: v2.9.10", true],
  ["nats-server: v2.12.1", true],
  ["nats-server: v3.0.0", true],
  ["nats-server: v2.8.4", false],
  ["nats-server: v1.10.0", false],
  ["", false],
])("%j is new enough: %s", (version, expected) => {
  expect(isRecentEnough(version)).toBe(expected);
});

test("an old nats-server on the PATH is passed over", () => {
  const old = directoryWith({ "nats-server": "#!/bin/sh\necho nats-server: v2.1.0\n" });
  const recent = directoryWith({ "nats-server": "#!/bin/sh\necho nats-server: v2.10.1\n" });
  const none = directoryWith({});
  expect(findNatsServer([none, old, recent])).toBe(join(recent, "nats-server"));
  expect(findNatsServer([none, old])).toBeUndefined();
});

const report = {
  success: true,
  numPassedTests: 2,
  numFailedTests: 0,
  numPendingTests: 1,
  numTodoTests: 0,
  testResults: [{ status: "passed", assertionResults: [{}, {}, {}] }],
};

test("a run is counted in one line, and passes where something ran and nothing failed", () => {
  expect(countTests(report)).toEqual({ line: "2 passed, 0 failed, 1 skipped", passed: true });
});

test.each([
  ["a failed test", { success: false, numFailedTests: 1 }, "2 passed, 1 failed, 1 skipped"],
  [
    "a file that did not load",
    { testResults: [{ status: "failed", assertionResults: [] }] },
    "2 passed, 1 failed, 1 skipped",
  ],
  ["an error outside any test", { success: false }, "2 passed, 0 failed, 1 skipped"],
  [
    "no test at all",
    { numPassedTests: 0, numPendingTests: 0, testResults: [] },
    "0 passed, 0 failed, 0 skipped",
  ],
])("%s fails the run", (_what, difference, line) => {
  expect(countTests({ ...report, ...difference })).toEqual({ line, passed: false });
});
