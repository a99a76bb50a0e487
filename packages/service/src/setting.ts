import { inspect } from "node:util";

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** One variable: its name, and how its text becomes a value. */
export interface Setting<T> {
  readonly name: string;
  /** Throws a plain Error that says what is wrong with the value, without its name. */
  read(env: Environment): T;
}

/** A secret from the environment. Printed in any way it shows `[secret]`; only `reveal` gives it away. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [inspect.custom](): string {
    return "[secret]";
  }
}

/** A setting read from its own variable by `parse`, which throws what is wrong. Empty counts as not set. */
export function setting<T>(name: string, parse: (text: string) => T, fallback?: T): Setting<T> {
  return {
    name,
    read(env) {
      const text = env[name]?.trim();
      if (text !== undefined && text !== "") {
        return parse(text);
      }
      if (fallback === undefined) {
        throw new Error("is required");
      }
      return fallback;
    },
  };
}

/** The same setting, undefined where it is not set. */
export function optional<T>(inner: Setting<T>): Setting<T | undefined> {
  const names = [inner.name, `${inner.name}_FILE`];
  return {
    name: inner.name,
    read: (env) => (names.some((name) => env[name]?.trim()) ? inner.read(env) : undefined),
  };
}
