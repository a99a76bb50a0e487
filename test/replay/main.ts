import { reasonOf } from "@gatehouse/client";
import { readReplayConfig, USAGE } from "./config.ts";
import { progressOn } from "./progress.ts";
import { replay } from "./replay.ts";
import { isExact, report } from "./report.ts";
import { ReplayError } from "./trace.ts";

try {
  const config = readReplayConfig(process.argv.slice(2), process.env);
  if (config === undefined) {
    console.log(USAGE);
  } else {
    const result = await replay(config, progressOn(process.stderr));
    console.log(report(result, config.top));
    process.exitCode = isExact(result) ? 0 : 1;
  }
} catch (error) {
  console.error(`replay: ${said(error)}`);
  process.exitCode = 2;
}

/** One line; what Gatehouse refused, with its reason and fields. */
function said(error: unknown): string {
  if (error instanceof ReplayError) return error.message;
  const { reason, message, violations } = reasonOf(error);
  const fields = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
  return [reason, message, fields].filter((part) => part !== undefined && part !== "").join(": ");
}
