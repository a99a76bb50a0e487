import { expect, it } from "vitest";
import { createLog } from "./log.ts";
import { Secret } from "./setting.ts";

it("credentials are never printed, under whichever of their names", () => {
  const lines: string[] = [];
  const log = createLog({
    name: "test",
    level: "info",
    redactText: (text) => text.replaceAll(/gth_\w+/g, "gth_…"),
    destination: { write: (line) => void lines.push(line) },
  });
  log.info({
    key: "hunter2",
    headers: { authorization: "hunter2", "x-api-key": "hunter2" },
    request: { secret: "hunter2" },
  });
  log.info(
    { "x-api-key": "hunter2", password: new Secret("hunter2"), other: new Secret("hunter2") },
    "said gth_abc",
  );
  log.error({ err: new Error("gth_abc is bad") });
  expect(lines).toHaveLength(3);
  expect(lines.join("")).not.toMatch(/hunter2|gth_abc/);
  expect(lines[1]).toContain("said gth_…");
});
