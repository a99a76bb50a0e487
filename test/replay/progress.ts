/** Says how far something has come. */
export interface Progress {
  /** A new stage, of so many steps. */
  begin(what: string, total: number): void;
  advance(by: number): void;
  end(): void;
}

/** Where to write. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** A terminal's line is rewritten; a log gets a line now and then. */
const TERMINAL_EVERY_MS = 200;
const LOG_EVERY_MS = 3000;

export function progressOn(stream: ProgressStream, nowMs = () => performance.now()): Progress {
  const everyMs = stream.isTTY ? TERMINAL_EVERY_MS : LOG_EVERY_MS;
  let stage = { what: "", total: 0, done: 0, beganMs: 0, saidMs: 0 };

  function say(): void {
    const { what, total, done, beganMs } = stage;
    const perSecond = Math.round((done * 1000) / Math.max(1, nowMs() - beganMs));
    const line = `${what}: ${done} of ${total}, ${perSecond}/s`;
    stream.write(stream.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
    stage.saidMs = nowMs();
  }

  return {
    begin(what, total) {
      const atMs = nowMs();
      stage = { what, total, done: 0, beganMs: atMs, saidMs: atMs };
    },
    advance(by) {
      stage.done += by;
      if (nowMs() - stage.saidMs >= everyMs) say();
    },
    end() {
      if (stream.isTTY) stream.write("\r\x1b[K");
    },
  };
}

export const silent: Progress = { begin() {}, advance() {}, end() {} };
