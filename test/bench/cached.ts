/**
 * What a warm call costs while ever more keys are in the cache, asked for evenly and by Zipf's law, and how much memory
 * a key takes. identity and metering are stand-ins that know every numbered key; authz is the real one.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { create, toBinary } from "@bufbuild/protobuf";
import { newPepper } from "@gatehouse/keys";
import { BatchVerifyRequestSchema, DecisionCode } from "@gatehouse/proto/authz";
import { freePort } from "@gatehouse/stack";
import {
  end,
  fromRoot,
  MEASURED_CORE,
  OTHER_CORE,
  serviceSecret,
  start,
  startMeasured,
  untilReady,
  YOUNG_FLAGS,
} from "./deployment.ts";
import { type NumberedKeys, numberedKeys } from "./numbered-keys.ts";
import { load, measured, medianRound, type Round } from "./rounds.ts";
import { requestOf, writeRequests } from "./warm-keys.ts";

const SIZES = [1000, 10_000, 100_000, 1_000_000];
const IN_FLIGHT = 64;
/** A message must fit one frame of HTTP/2. */
const FILL_BATCH = 100;
/** Calls drawn for a round; more than one answers, so that even keys are seldom the same twice. */
const DRAWN = 200_000;
const ZIPF_EXPONENT = 1;
const WARM_SECONDS = 5;
const ROUND_SECONDS = 3;
const ROUNDS = 3;
/** Longer than the bench runs: a key that expires is a miss again. */
const CACHE_LIFETIME = "24h";

export interface CachedReport {
  readonly bench: "cached";
  readonly settings: Record<string, string | number>;
  readonly sizes: readonly SizeReport[];
  /** Processor time a call with the most keys over that with the fewest. */
  readonly evenRatio: number;
  readonly zipfRatio: number;
}

interface SizeReport {
  readonly keys: number;
  readonly even: Round;
  readonly zipf: Round;
  readonly bytesPerKey: number;
  /** With a rate and a quota on each key, each with a lease. */
  readonly bytesPerKeyWithLeases: number | undefined;
}

export async function benchCached({ mostKeys = SIZES.at(-1)! } = {}): Promise<CachedReport> {
  const sizes: SizeReport[] = [];
  for (const keys of SIZES.filter((size) => size <= mostKeys)) {
    const { heapBytes, even, zipf } = await withAuthz(keys, 0, async (authz) => ({
      heapBytes: await authz.fill(),
      even: await authz.rounds(drawEvenly),
      zipf: await authz.rounds(drawByZipf),
    }));
    // Renewing the leases of more than this is more than one process is for.
    const leased = keys > 100_000 ? undefined : await withAuthz(keys, 2, (authz) => authz.fill());
    sizes.push({
      keys,
      even,
      zipf,
      bytesPerKey: heapBytes / keys,
      bytesPerKeyWithLeases: leased === undefined ? undefined : leased / keys,
    });
  }
  const [fewest, most] = [sizes[0]!, sizes.at(-1)!];
  return {
    bench: "cached",
    settings: { node: process.version, inFlight: IN_FLIGHT, rounds: ROUNDS, spool: "cache" },
    sizes,
    evenRatio: most.even.cpuMicrosPerCall / fewest.even.cpuMicrosPerCall,
    zipfRatio: most.zipf.cpuMicrosPerCall / fewest.zipf.cpuMicrosPerCall,
  };
}

type Draw = (keys: number) => number;

function drawEvenly(keys: number): number {
  return 1 + Math.floor(Math.random() * keys);
}

// The inverse of the harmonic numbers, approximately: rank r comes up as 1 / r does.
function drawByZipf(keys: number): number {
  return Math.min(Math.floor((keys + 1) ** (Math.random() / ZIPF_EXPONENT)), keys);
}

interface Filled {
  /** Makes every key warm; answers the bytes of memory that this took. */
  fill(): Promise<number>;
  rounds(draw: Draw): Promise<Round>;
}

async function withAuthz<T>(count: number, limits: 0 | 2, use: (authz: Filled) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-bench-"));
  const pepper = newPepper("1");
  const keys = numberedKeys(pepper);
  const fakes = await startMeasured(
    [fromRoot("test/bench/fake-upstreams.ts"), pepper, String(limits)],
    OTHER_CORE,
  );
  const [address, http] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const args = [
    ...YOUNG_FLAGS,
    "--expose-gc",
    "--max-old-space-size=8192",
    "--import",
    fromRoot("test/bench/report-heap.ts"),
  ];
  const child = start(MEASURED_CORE, [...args, fromRoot("services/authz/src/main.ts")], {
    GATEHOUSE_SERVICE_SECRET: serviceSecret,
    GATEHOUSE_PEPPERS: pepper,
    GATEHOUSE_SPOOL_DIR: join(directory, "spool"),
    GATEHOUSE_AUTHZ_GRPC: address,
    GATEHOUSE_AUTHZ_HTTP: http,
    GATEHOUSE_IDENTITY_ADDRESS: fakes.address,
    GATEHOUSE_METERING_ADDRESS: fakes.address,
    GATEHOUSE_CACHE_LIFETIME: CACHE_LIFETIME,
    GATEHOUSE_CACHE_KEYS: String(Math.max(2 * count, 1000)),
    GATEHOUSE_LOG_LEVEL: "error",
  });
  try {
    await untilReady("authz", http);
    const common = { address, inFlight: IN_FLIGHT, key: keys.presented(0) };
    return await use({
      async fill() {
        const before = await heapBytes(child);
        await fill(keys, count, directory, common);
        return (await heapBytes(child)) - before;
      },
      async rounds(draw) {
        const drawn = Array.from({ length: DRAWN }, () => keys.presented(draw(count)));
        const file = await writeRequests(join(directory, "drawn"), drawn);
        const ask = (seconds: number) => load({ ...common, file, seconds, expected: DecisionCode.VALID });
        await ask(WARM_SECONDS);
        const rounds: Round[] = [];
        for (let i = 0; i < ROUNDS; i++) rounds.push(await measured(child, () => ask(ROUND_SECONDS)));
        return medianRound(rounds);
      },
    });
  } finally {
    await end(child);
    await end(fakes.child);
    await rm(directory, { recursive: true, force: true });
  }
}

/** Asks for every key once, in batches. */
async function fill(
  keys: NumberedKeys,
  count: number,
  directory: string,
  { address, key }: { readonly address: string; readonly key: string },
): Promise<void> {
  const lines: string[] = [];
  for (let n = 1; n <= count; n += FILL_BATCH) {
    const numbers = Array.from({ length: Math.min(FILL_BATCH, count - n + 1) }, (_, i) => n + i);
    const batch = create(BatchVerifyRequestSchema, {
      requests: numbers.map((i) => requestOf(keys.presented(i))),
    });
    lines.push(Buffer.from(toBinary(BatchVerifyRequestSchema, batch)).toString("base64"));
  }
  const file = join(directory, "fill");
  await writeFile(file, lines.join("\n"));
  const calls = lines.length;
  await load({
    address,
    key,
    method: "batchVerify",
    file,
    inFlight: 16,
    calls,
    expected: DecisionCode.UNSPECIFIED,
  });
}

async function heapBytes(child: ChildProcess): Promise<number> {
  const lines = createInterface(child.stdout!);
  const printed = once(lines, "line") as Promise<[string]>;
  child.kill("SIGUSR2");
  const [line] = await printed;
  lines.close();
  return JSON.parse(line).heapBytes;
}
