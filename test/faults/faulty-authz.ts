/** authz that dies, or is failed by its disk, at the step of its spool that FAULT_FILE names. */
import fs, { promises } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { die, diskFull, type Fault, MARK, readFault } from "./fault.ts";

/** What a spool does to its files, in the order in which a call's units go through them. */
const steps = {
  "append a frame": (name: string) => name.endsWith(".segment"),
  "note leases": (name: string) => name.endsWith("leases.log"),
  "write a batch": (name: string) => name.endsWith(".batch.tmp"),
  "name a batch": (name: string) => name.endsWith(".batch.tmp"),
  "remove a segment": (name: string) => name.endsWith(".segment"),
  "keep a batch": (name: string) => name.endsWith(".batch"),
  "begin an epoch": (name: string) => name.endsWith("kept"),
} as const;

let armed = armedAt("start");

function armedAt(from: Fault["from"]): Fault | undefined {
  const fault = readFault();
  return fault?.from === from ? fault : undefined;
}

/** Is it this step that the process is to be failed at, in this way? */
function isAt(step: keyof typeof steps, path: unknown, ...ways: Fault["when"][]): boolean {
  const isHere = armed?.step === step && ways.includes(armed.when) && steps[step](String(path));
  if (isHere && armed?.when === "fails") armed = undefined; // once: there is room again
  return isHere;
}

const { openSync, writeSync } = fs;
const { appendFile, open, rename, rm, mkdir } = promises;
const paths = new Map<number, unknown>();
const mark = varint(MARK);

fs.openSync = (path, ...more) => {
  const fd = openSync(path, ...more);
  paths.set(fd, path);
  return fd;
};
fs.writeSync = ((fd: number, bytes: Buffer, offset: number, length: number, position: number) => {
  const path = paths.get(fd);
  if (armed === undefined && steps["append a frame"](String(path)) && bytes.includes(mark)) {
    armed = armedAt("mark");
  }
  if (isAt("append a frame", path, "fails")) throw diskFull();
  if (isAt("append a frame", path, "before")) die();
  if (isAt("append a frame", path, "within")) {
    writeSync(fd, bytes, offset, Math.floor(length / 2), position);
    die();
  }
  const written = writeSync(fd, bytes, offset, length, position);
  if (isAt("append a frame", path, "after")) die();
  return written;
}) as typeof fs.writeSync;

promises.appendFile = async (path, data, options) => {
  if (isAt("note leases", path, "fails")) throw diskFull();
  if (isAt("note leases", path, "before")) die();
  if (isAt("note leases", path, "within")) {
    await appendFile(path, halfOf(data as Uint8Array), options);
    die();
  }
  await appendFile(path, data, options);
  if (isAt("note leases", path, "after")) die();
};

promises.open = async (path, ...more) => {
  if (isAt("write a batch", path, "before")) die();
  const file = await open(path, ...more);
  const { writeFile } = file;
  let parts = 0;
  file.writeFile = async (data, options) => {
    // The digest, then what it is of.
    if (++parts === 2 && isAt("write a batch", path, "fails")) throw diskFull();
    if (parts === 2 && isAt("write a batch", path, "within")) {
      await writeFile.call(file, halfOf(data as Uint8Array), options);
      die();
    }
    await writeFile.call(file, data, options);
  };
  return file;
};

promises.rename = async (from, to) => {
  const step = String(to).includes("kept") ? "keep a batch" : "name a batch";
  if (isAt(step, from, "fails")) throw diskFull();
  if (isAt(step, from, "before")) die();
  await rename(from, to);
  if (isAt(step, from, "after")) die();
};

promises.rm = async (path, options) => {
  if (isAt("remove a segment", path, "fails")) throw diskFull();
  if (isAt("remove a segment", path, "before")) die();
  await rm(path, options);
  if (isAt("remove a segment", path, "after")) die();
};

promises.mkdir = (async (path: string, options: object) => {
  if (isAt("begin an epoch", path, "before")) die();
  await mkdir(path, options);
  if (isAt("begin an epoch", path, "after")) die();
}) as typeof mkdir;

function halfOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, Math.floor(bytes.length / 2));
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

syncBuiltinESMExports();
await import("../../services/authz/src/main.ts");
