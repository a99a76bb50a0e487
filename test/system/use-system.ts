import { afterAll, afterEach, beforeAll } from "vitest";
import { type System, type SystemOptions, startSystem } from "./system.ts";

const START_MS = 120_000;

/** A system for the tests of a file. What its processes wrote is shown when a test fails. */
export function useSystem(options: SystemOptions = {}): () => System {
  let system: System | undefined;
  beforeAll(async () => {
    system = await startSystem(options);
  }, START_MS);
  afterEach(({ task }) => {
    if (task.result?.state === "fail" && !task.fails)
      console.error(`after "${task.name}":\n${system?.logs()}`);
  });
  afterAll(() => system?.stop(), START_MS);
  return () => system!;
}
