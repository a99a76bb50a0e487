import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

test.each(["identity", "metering", "authz"])(
  "%s says which variables are wrong, a line each, and ends",
  (service) => {
    const main = join(import.meta.dirname, `../../services/${service}/src/main.ts`);
    const env = { PATH: process.env.PATH, GATEHOUSE_MAX_CALLS: "many" };
    const { status, stdout, stderr } = spawnSync(process.execPath, [main], { env, encoding: "utf8" });
    const [title, ...lines] = stderr.trimEnd().split("\n");
    expect({ status, stdout, title }).toEqual({
      status: 1,
      stdout: "",
      title: "the configuration is wrong:",
    });
    expect(lines).toContain("  GATEHOUSE_SERVICE_SECRET is required");
    expect(lines).toContain("  GATEHOUSE_MAX_CALLS must be from 100 to 1000000");
    for (const line of lines) expect(line).toMatch(/^ {2}GATEHOUSE_\w+ /);
  },
  60_000,
);
