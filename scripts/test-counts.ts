/** Says what a test run counted, from vitest's JSON report: `N passed, N failed, N skipped`, alone on a line. */
import { readFileSync } from "node:fs";

/** The part of the report that is read. */
export interface TestReport {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

/** The line, and whether the run counts as passed: something ran, and nothing failed. */
export function countTests(report: TestReport): { line: string; passed: boolean } {
  // A file that could not be loaded has no tests to count, and is a failure all the same.
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
  ).length;
  const failed = report.numFailedTests + unloaded;
  const skipped = report.numPendingTests + report.numTodoTests;
  return {
    line: `${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped`,
    passed: report.success && failed === 0 && report.numPassedTests > 0,
  };
}

if (import.meta.main) {
  const { line, passed } = countTests(JSON.parse(readFileSync(process.argv[2]!, "utf8")) as TestReport);
  console.log(line);
  if (!passed) process.exitCode = 1;
}
