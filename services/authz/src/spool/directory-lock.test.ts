import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openSpool, temporaryDirectory } from "./testing/fixture.ts";

test("a directory serves one process: also while that one is stopped, and not once it is dead", async () => {
  const directory = temporaryDirectory();
  const script = join(import.meta.dirname, "testing", "crash-writer.ts");
  const child = spawn(process.execPath, [script, directory, "cache"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await once(child.stdout, "data");
    await expect(openSpool({ directory })).rejects.toThrow(`spool directory ${directory} is in use`);
    child.kill("SIGSTOP");
    await expect(openSpool({ directory })).rejects.toThrow("in use");
  } finally {
    child.kill("SIGKILL");
  }
  if (child.signalCode === null) await once(child, "exit");
  await openSpool({ directory });
});

test("two spools of one process cannot share a directory either, one after the other can", async () => {
  const directory = temporaryDirectory();
  const first = await openSpool({ directory });
  await expect(openSpool({ directory })).rejects.toThrow("in use");
  await first.stop();
  const second = await openSpool({ directory });
  expect(second.epoch).toBe(first.epoch + 1);
});

test("a wiped directory begins beyond the epochs that metering knows", async () => {
  const directory = temporaryDirectory();
  const first = await openSpool({ directory, nowMs: () => 1000 });
  await first.stop();
  rmSync(directory, { recursive: true });
  const second = await openSpool({ directory, nowMs: () => 5000 });
  expect([first.epoch, second.epoch]).toEqual([1000, 5000]);
});
