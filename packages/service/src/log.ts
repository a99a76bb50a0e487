import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";

/** The logger that everything takes. */
export type Log = Logger;

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

/** Options of {@link createLog}. */
export interface LogOptions {
  /** The service's name, on every line. */
  readonly name: string;
  readonly level: LogLevel;
  /** Rewrites every string that is about to be logged, errors' messages and stacks included. */
  readonly redactText?: ((text: string) => string) | undefined;
  /** Where lines go; default stdout. */
  readonly destination?: DestinationStream | undefined;
}

// Credentials by the names they travel under, at the top of a line and one level down (headers, requests).
const SECRET_NAMES = ["authorization", "key", "secret", "token", "password"];
const SECRET_PATHS = [
  ...SECRET_NAMES.flatMap((name) => [name, `*.${name}`]),
  '["x-api-key"]',
  '*["x-api-key"]',
];

/** JSON lines to stdout. Fields named like credentials are never printed. */
export function createLog({ name, level, redactText, destination }: LogOptions): Log {
  return pino(
    {
      name,
      level,
      timestamp: stdTimeFunctions.isoTime,
      redact: { paths: SECRET_PATHS, censor: "[redacted]" },
      ...(redactText === undefined ? {} : { hooks: { streamWrite: redactText } }),
    },
    destination ?? pino.destination({ dest: 1, sync: true }),
  );
}
