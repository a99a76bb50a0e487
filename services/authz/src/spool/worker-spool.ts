import { readdirSync } from "node:fs";
import { join } from "node:path";
import { findEpochs } from "./epoch-directory.ts";

/** A spool directory, and the name under which metering knows it. */
export interface SpoolPlace {
  readonly directory: string;
  readonly producer: string;
}

/** Which of how many workers. */
export interface WorkerNumber {
  /** From 1. */
  readonly number: number;
  readonly count: number;
}

/**
 * Where a worker of a service spools: what is configured, where it is the only one; else `<directory>/<number>`, as
 * producer `<producer>-<number>`.
 */
export function placeOfWorker({ directory, producer }: SpoolPlace, worker: WorkerNumber): SpoolPlace {
  return worker.count === 1 ? { directory, producer } : numbered({ directory, producer }, worker.number);
}

/**
 * Where workers spooled when their number was another one. Nobody spools there now, and what is there must be shipped
 * all the same.
 */
export function placesLeft(configured: SpoolPlace, count: number): SpoolPlace[] {
  const { directory, producer } = configured;
  const alone = count > 1 ? [{ directory, producer }] : [];
  const beyond = numbersIn(directory).filter((number) => count === 1 || number > count);
  return [...alone, ...beyond.map((number) => numbered(configured, number))].filter(hasEpochs);
}

function numbered({ directory, producer }: SpoolPlace, number: number): SpoolPlace {
  return { directory: join(directory, String(number)), producer: `${producer}-${number}` };
}

function numbersIn(directory: string): number[] {
  return namesIn(directory)
    .filter((name) => /^[1-9]\d{0,3}$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

function hasEpochs({ directory }: SpoolPlace): boolean {
  return namesIn(directory).length > 0 && findEpochs(directory).length > 0;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
