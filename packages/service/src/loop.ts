import { seldom } from "./seldom.ts";

/** The part of a log that a loop writes to. */
export interface LoopLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** What {@link runLoop} takes. */
export interface LoopOptions {
  /** On every log line about the loop. */
  readonly name: string;
  /** Milliseconds from the end of one run to the start of the next. */
  readonly everyMs: number;
  /** Spreads each wait by up to this share of it, 0 to 1, so that replicas do not march in step. Default 0.1. */
  readonly jitter?: number | undefined;
  /** After failures the wait doubles from `minMs` to `maxMs`; one success resets it. */
  readonly backoff: { readonly minMs: number; readonly maxMs: number };
  /** How long one run may take before its signal aborts, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  /** The work. Its signal aborts when the loop stops or the run is out of time. */
  readonly run: (signal: AbortSignal) => void | Promise<void>;
  readonly log: LoopLog;
}

/** A running loop. */
export interface Loop {
  /** Runs at once; while a run is going on, once more right after it. Never sooner than `minMs` after a failure. */
  poke(): void;
  /** Aborts the run that is going on, waits for it to end, and starts no other. */
  stop(): Promise<void>;
}

/**
 * The one supervised loop. The first run starts before this returns; runs never overlap; errors are logged, those in a
 * row every ten seconds, and followed by bounded exponential backoff; it never gives up.
 */
export function runLoop(options: LoopOptions): Loop {
  const { name, everyMs, backoff, run, log, jitter = 0.1 } = options;
  const stopping = new AbortController();
  let failures = 0;
  let warn = seldomOf();
  let poked = false;
  let wake: (soonestMs: number) => void = () => {};

  function seldomOf() {
    const tell = (err: unknown) => log.warn({ loop: name, failures, err }, "loop run failed");
    return seldom(tell, () => performance.now());
  }

  async function runOnce(): Promise<void> {
    const timeout = options.timeoutMs === undefined ? [] : [AbortSignal.timeout(options.timeoutMs)];
    try {
      await run(AbortSignal.any([stopping.signal, ...timeout]));
      if (failures > 0) {
        log.info({ loop: name, failures }, "loop recovered");
      }
      failures = 0;
      warn = seldomOf();
    } catch (error) {
      if (!stopping.signal.aborted) {
        failures++;
        warn(error);
      }
    }
  }

  function waitMs(): number {
    const ms =
      failures === 0 ? everyMs : Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(failures - 1, 30));
    return ms * (1 + jitter * (Math.random() * 2 - 1));
  }

  function pause(): Promise<void> {
    return new Promise((resolve) => {
      const pausedAtMs = performance.now();
      let timer = setTimeout(resolve, waitMs());
      wake = (soonestMs) => {
        clearTimeout(timer);
        const leftMs = soonestMs - (performance.now() - pausedAtMs);
        if (leftMs > 0) {
          timer = setTimeout(resolve, leftMs);
        } else {
          resolve();
        }
      };
      if (poked) {
        wake(soonestWakeMs());
      }
    });
  }

  function soonestWakeMs(): number {
    return failures === 0 ? 0 : backoff.minMs;
  }

  async function forever(): Promise<void> {
    while (!stopping.signal.aborted) {
      poked = false;
      await runOnce();
      if (!stopping.signal.aborted) {
        await pause();
        wake = () => {};
      }
    }
  }

  const ended = forever();
  return {
    poke() {
      if (!poked) {
        poked = true;
        wake(soonestWakeMs());
      }
    },
    stop() {
      stopping.abort();
      wake(0);
      return ended;
    },
  };
}
