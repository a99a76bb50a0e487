import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Address } from "./address.ts";
import { type Environment, Secret, type Setting, setting } from "./setting.ts";

/** Settings, nested as the configuration is to be. */
export interface ConfigSpec {
  readonly [name: string]: Setting<unknown> | ConfigSpec;
}

/** The configuration that a spec reads. */
export type ConfigOf<S> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : ConfigOf<S[K]>;
};

/** Everything that is wrong with a configuration, each with its variable's name. Values are never repeated. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration is wrong:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

/** Reads every setting of `spec`. Throws one ConfigError that names all that are missing or wrong. */
export function readConfig<S extends ConfigSpec>(env: Environment, spec: S): ConfigOf<S> {
  const problems: string[] = [];
  const config = readSpec(env, spec, problems);
  if (problems.length > 0) {
    throw new ConfigError(problems);
  }
  return config as ConfigOf<S>;
}

/** For a `main`: reads a configuration, or tells what is wrong with it, without a stack, and ends the process with 1. */
export function configOrExit<C>(read: (env: Environment) => C, env: Environment): C {
  try {
    return read(env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}

function readSpec(env: Environment, spec: ConfigSpec, problems: string[]): Record<string, unknown> {
  const entries = Object.entries(spec).map(([key, inner]) => {
    if (!isSetting(inner)) {
      return [key, readSpec(env, inner, problems)];
    }
    try {
      return [key, inner.read(env)];
    } catch (error) {
      problems.push(`${inner.name} ${(error as Error).message}`);
      return [key, undefined];
    }
  });
  return Object.fromEntries(entries);
}

function isSetting(value: Setting<unknown> | ConfigSpec): value is Setting<unknown> {
  return typeof value.read === "function";
}

/** Any text. */
export function text(name: string, fallback?: string): Setting<string> {
  return setting(name, (value) => value, fallback);
}

/** One of a few words. */
export function choice<T extends string>(name: string, words: readonly T[], fallback?: T): Setting<T> {
  const parse = (value: string) =>
    words.find((word) => word === value) ?? complain(`must be one of ${words.join(", ")}`);
  return setting(name, parse, fallback);
}

/** A whole number within bounds, both included. */
export function integer(
  name: string,
  bounds: { min: number; max: number },
  fallback?: number,
): Setting<number> {
  const { min, max } = bounds;
  return setting(
    name,
    (value) => within(/^-?\d+$/.test(value) ? Number(value) : Number.NaN, min, max, ""),
    fallback,
  );
}

/** How many workers a service runs in: a number from 1 to `max`, or `auto`, one for each core it may use. Default 1. */
export function workers(name: string, max: number): Setting<number> {
  const parse = (value: string) =>
    value === "auto"
      ? Math.min(availableParallelism(), max)
      : within(/^\d+$/.test(value) ? Number(value) : Number.NaN, 1, max, "");
  return setting(name, parse, 1);
}

/** `true` or `false`. */
export function flag(name: string, fallback?: boolean): Setting<boolean> {
  const parse = (value: string) =>
    value === "true" || value === "false" ? value === "true" : complain(FLAG);
  return setting(name, parse, fallback);
}

const FLAG = "must be true or false";
const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A span such as `250ms`, `10s`, `5m`, `12h`, `30d`, or `0`; in milliseconds, within bounds. */
export function durationMs(
  name: string,
  bounds: { min: number; max: number },
  fallback?: number,
): Setting<number> {
  const parse = (value: string) => {
    const [, digits, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(value === "0" ? "0ms" : value) ?? [];
    const ms = digits === undefined ? Number.NaN : Number(digits) * UNIT_MS[unit as keyof typeof UNIT_MS];
    return within(ms, bounds.min, bounds.max, "ms");
  };
  return setting(name, parse, fallback);
}

/** `host:port`, with brackets around IPv6; port 0 lets the system choose. */
export function address(name: string, fallback?: Address): Setting<Address> {
  const parse = (value: string): Address => {
    const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):(\d{1,5})$/.exec(value) ?? [];
    if (host === undefined || Number(port) > 65_535) {
      return complain("must be host:port");
    }
    return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
  };
  return setting(name, parse, fallback);
}

/** Values separated by commas; at least one, at most 100. */
export function list(name: string, fallback?: readonly string[]): Setting<readonly string[]> {
  const parse = (value: string) => {
    const items = value.split(",").map((item) => item.trim());
    return items.length <= 100 && items.every(Boolean)
      ? items
      : complain("must be values separated by commas");
  };
  return setting(name, parse, fallback);
}

/** A secret, from the variable itself or from the file that `<name>_FILE` points at. */
export function secret(name: string, { minLength = 1 }: { minLength?: number } = {}): Setting<Secret> {
  const parse = (value: string) =>
    value.length >= minLength ? new Secret(value) : complain(`must be at least ${minLength} characters`);
  return {
    name,
    read(env) {
      const path = env[`${name}_FILE`]?.trim();
      return setting(name, parse).read(path ? { [name]: env[name] || readSecretFile(path) } : env);
    },
  };
}

function readSecretFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return complain(`is to come from a file that cannot be read: ${path}`);
  }
}

function within(value: number, min: number, max: number, unit: string): number {
  return value >= min && value <= max ? value : complain(`must be from ${min}${unit} to ${max}${unit}`);
}

function complain(problem: string): never {
  throw new Error(problem);
}

export { share, traceEndpoint } from "./trace-settings.ts";
