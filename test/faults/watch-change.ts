import type { System } from "../system/system.ts";
import { until, untilMs } from "../system/until.ts";
import { type Answer, ask, type Load, startLoad } from "../system/verifying.ts";

/** What calls saw while something was changed under them. */
export interface WatchedChange {
  readonly answers: readonly Answer[];
  /** When the change's answer came: it was committed before. */
  readonly committedMs: number;
  readonly freshness: string;
}

export interface WatchOptions {
  /** The presented key. */
  readonly key: string;
  /** Makes the change; answers its freshness token. */
  readonly change: () => Promise<{ readonly freshness: string }>;
  /** How long calls go on after the commit. */
  readonly forMs: number;
}

const CALLERS_PER_REPLICA = 2;
const WARM_ANSWERS = 20;

/** Calls every replica continuously, from before a change until `forMs` after it. */
export async function watchChange(
  system: System,
  { key, change, forMs }: WatchOptions,
): Promise<WatchedChange> {
  const replicas = system.replicas.length;
  const load = startLoad(CALLERS_PER_REPLICA * replicas, (caller) =>
    ask(system.root, caller % replicas, { key }),
  );
  try {
    await until("every replica answers VALID", () => isWarm(load, replicas));
    const { freshness } = await change();
    const committedMs = performance.now();
    await untilMs(committedMs + forMs);
    return { answers: await load.stop(), committedMs, freshness };
  } finally {
    await load.stop();
  }
}

/** VALID answers to calls that were sent more than `boundMs` after the commit. */
export function staleAnswers({ answers, committedMs }: WatchedChange, boundMs: number): readonly Answer[] {
  return answers.filter(({ code, sentMs }) => code === "VALID" && sentMs > committedMs + boundMs);
}

/** When the last call that a replica answered VALID was sent, after the commit; below 0: before its answer came. */
export function lastValidMs({ answers, committedMs }: WatchedChange, replica: number): number {
  const sent = answers.filter((answer) => answer.replica === replica && answer.code === "VALID");
  return Math.max(...sent.map(({ sentMs }) => sentMs)) - committedMs;
}

function isWarm({ answers }: Load, replicas: number): boolean {
  const valid = answers.filter(({ code }) => code === "VALID");
  return Array.from({ length: replicas }, (_, i) => i).every(
    (i) => valid.filter(({ replica }) => replica === i).length >= WARM_ANSWERS,
  );
}
