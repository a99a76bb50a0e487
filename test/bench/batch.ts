/** BatchVerify of a hundred warm keys each: keys a second that one core answers. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { BatchVerifyRequestSchema, DecisionCode } from "@gatehouse/proto/authz";
import { deploy } from "./deployment.ts";
import { load, measured, medianRound, type Round } from "./rounds.ts";
import { BUCKETS_PER_CALL, KEYS, makeKeys, requestOf, type WarmKeys } from "./warm-keys.ts";

const BATCH = 100;
const IN_FLIGHT = 8;
const WARM_SECONDS = 6;
const ROUND_SECONDS = 3;
const ROUNDS = 5;

export interface BatchReport {
  readonly bench: "batch";
  readonly settings: Record<string, string | number>;
  readonly batches: Round;
  readonly keysPerSecond: number;
  /** What one core would answer if authz had all of it. */
  readonly keysPerCoreSecond: number;
}

export async function benchBatch(): Promise<BatchReport> {
  const deployment = await deploy();
  try {
    const file = await writeBatches(await makeKeys(deployment), join(deployment.directory, "batches"));
    const ask = (seconds: number) =>
      load({
        address: deployment.authz,
        method: "batchVerify",
        file,
        inFlight: IN_FLIGHT,
        seconds,
        key: deployment.rootKey,
        // A batch has no code of its own: any answer that is one.
        expected: DecisionCode.UNSPECIFIED,
      });
    await ask(WARM_SECONDS);
    const rounds: Round[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      rounds.push(await measured(deployment.authzProcess, () => ask(ROUND_SECONDS)));
    }
    const batches = medianRound(rounds);
    return {
      bench: "batch",
      settings: {
        node: process.version,
        keys: KEYS,
        batch: BATCH,
        bucketsPerCall: BUCKETS_PER_CALL,
        inFlight: IN_FLIGHT,
        spool: "cache",
      },
      batches,
      keysPerSecond: batches.callsPerSecond * BATCH,
      keysPerCoreSecond: (BATCH * 1e6) / batches.cpuMicrosPerCall,
    };
  } finally {
    await deployment.stop();
  }
}

async function writeBatches({ keys }: WarmKeys, path: string): Promise<string> {
  const lines: string[] = [];
  for (let from = 0; from + BATCH <= keys.length; from += BATCH) {
    const requests = keys.slice(from, from + BATCH).map(({ presented }) => requestOf(presented));
    const batch = create(BatchVerifyRequestSchema, { requests });
    lines.push(Buffer.from(toBinary(BatchVerifyRequestSchema, batch)).toString("base64"));
  }
  await writeFile(path, lines.join("\n"));
  return path;
}
