import { setTimeout as pause } from "node:timers/promises";
import type { Caller } from "../system/caller.ts";
import { type Answer, ask, type VerifyInit } from "../system/verifying.ts";

/** A caller that spends as much as it is let: which key it presents, and to which replica. */
export interface Spender {
  readonly key: string;
  readonly replica: number;
}

export interface SpendOptions {
  /** Told of every answer as it comes. */
  readonly onAnswer?: (answer: Answer) => void;
  /** After so many calls a spender stops, refused or not; for limits that never refuse. */
  readonly maxCalls?: number;
  /** What each call charges; default one request. */
  readonly charges?: VerifyInit["charges"];
  /** A spender that was not refused by then gives up. */
  readonly withinMs?: number;
}

/** Where an answer does not say when to come back. */
const RETRY_MS = 50;
const WITHIN_MS = 60_000;

/**
 * Every spender calls until it is told QUOTA_EXCEEDED or CREDIT_EXHAUSTED. INDETERMINATE is tried again when the answer says so, a
 * lost answer soon: both are what a caller would do. Answers every answer that anybody got.
 */
export async function spendUntilRefused(
  verifier: Caller,
  spenders: readonly Spender[],
  {
    onAnswer = () => {},
    maxCalls = Number.POSITIVE_INFINITY,
    charges,
    withinMs = WITHIN_MS,
  }: SpendOptions = {},
): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  const untilMs = performance.now() + withinMs;
  const spend = async ({ key, replica }: Spender) => {
    for (let calls = 0; calls < maxCalls && performance.now() < untilMs; calls++) {
      const answer = await ask(verifier, replica, { key, ...(charges && { charges }) });
      answers.push(answer);
      onAnswer(answer);
      switch (answer.code) {
        case "VALID":
          break;
        case "QUOTA_EXCEEDED":
        case "CREDIT_EXHAUSTED":
          return;
        case "INDETERMINATE":
        case "LOST":
          await pause(answer.retryAfterMs ?? RETRY_MS);
          break;
        default:
          throw new Error(`a spender was answered ${answer.code}`);
      }
    }
  };
  await Promise.all(spenders.map(spend));
  return answers;
}

/** The answers that let a call through, of all keys or of one. */
export function admitted(answers: readonly Answer[], key?: string): number {
  return answers.filter((answer) => answer.code === "VALID" && (key === undefined || answer.key === key))
    .length;
}

/** Calls that a replica may have charged before it was killed: sent before, and never answered. */
export function lostBefore(answers: readonly Answer[], killedMs: number): number {
  return answers.filter(({ code, sentMs }) => code === "LOST" && sentMs <= killedMs).length;
}
