import { readdirSync } from "node:fs";
import { join } from "node:path";

const EPOCH_DIRECTORY = /^epoch-(\d+)$/;

/** Where an epoch keeps its files. */
export function epochDirectory(directory: string, epoch: number): string {
  return join(directory, `epoch-${epoch}`);
}

/** The epochs that a spool's directory has traces of, oldest first. */
export function findEpochs(directory: string): number[] {
  return readdirSync(directory)
    .flatMap((name) => EPOCH_DIRECTORY.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}
