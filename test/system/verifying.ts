import { setTimeout as pause } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { DecisionCode, type VerifyRequestSchema } from "@gatehouse/proto/authz";
import type { Failure } from "@gatehouse/service";
import type { Caller } from "./caller.ts";
import { until } from "./until.ts";

/** One Verify as its caller saw it; times on this process's monotonic clock. */
export interface Answer {
  readonly replica: number;
  readonly key: string;
  readonly sentMs: number;
  readonly receivedMs: number;
  /** LOST: there was no answer, and the call may have been charged. */
  readonly code: keyof typeof DecisionCode | "LOST";
  readonly stalenessMs: number;
  readonly retryAfterMs: number | undefined;
  /** Micros, of all currencies; undefined for what was not admitted or is free. */
  readonly cost?: number;
  readonly error?: Failure;
}

export type VerifyInit = MessageInitShape<typeof VerifyRequestSchema> & { readonly key: string };

/** Asks one replica once. Never rejects. */
export async function ask(
  verifier: Caller,
  replica: number,
  request: VerifyInit,
  timeoutMs = 10_000,
): Promise<Answer> {
  const sentMs = performance.now();
  const seen = { replica, key: request.key, sentMs };
  try {
    const answer = await verifier.authz[replica]!.verify(request, { timeoutMs });
    return {
      ...seen,
      receivedMs: performance.now(),
      code: DecisionCode[answer.code] as keyof typeof DecisionCode,
      stalenessMs: answer.staleness === undefined ? 0 : durationMs(answer.staleness),
      retryAfterMs: answer.retryAfter && durationMs(answer.retryAfter),
      ...(answer.cost.length > 0 && {
        cost: answer.cost.reduce((sum, { micros }) => sum + Number(micros), 0),
      }),
    };
  } catch (error) {
    const lost = { code: "LOST", stalenessMs: 0, retryAfterMs: undefined, error: error as Failure } as const;
    return { ...seen, receivedMs: performance.now(), ...lost };
  }
}

/** Asks until a call is admitted, such as by a replica that was started again: one admission, and no more. */
export async function askUntilValid(verifier: Caller, replica: number, request: VerifyInit): Promise<Answer> {
  return until(`replica ${replica} admits a call`, async () => {
    const answer = await ask(verifier, replica, request);
    return answer.code === "VALID" && answer;
  });
}

/** Callers that ask on and on, each its next call as soon as its last is answered. */
export interface Load {
  /** In the order in which they came. */
  readonly answers: readonly Answer[];
  /** Lets the calls under way end. */
  stop(): Promise<readonly Answer[]>;
}

/** After a call that failed, so that a replica that is down is not asked thousands of times. */
const LOST_PAUSE_MS = 20;

/** `next` makes one call for a caller, by its number. */
export function startLoad(callers: number, next: (caller: number) => Promise<Answer>): Load {
  const answers: Answer[] = [];
  let stopping = false;
  const run = async (caller: number) => {
    while (!stopping) {
      const answer = await next(caller);
      answers.push(answer);
      if (answer.code === "LOST") await pause(LOST_PAUSE_MS);
    }
  };
  const running = Promise.all(Array.from({ length: callers }, (_, caller) => run(caller)));
  return {
    answers,
    async stop() {
      stopping = true;
      await running;
      return answers;
    },
  };
}

/** How often each code was answered. */
export function countCodes(answers: readonly Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { code } of answers) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}
