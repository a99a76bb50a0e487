/** Reads the fields of one object, and tells everything that is wrong with them. */
export class JsonFields {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #tell: (problem: string) => void;

  constructor(value: unknown, tell: (problem: string) => void) {
    this.#tell = tell;
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    this.#object = isObject ? { ...value } : {};
    if (!isObject) tell(" must be an object");
  }

  has(name: string): boolean {
    return this.#object[name] !== undefined;
  }

  below(name: string): JsonFields {
    return new JsonFields(this.#object[name] ?? {}, (problem) => this.#tell(`.${name}${problem}`));
  }

  onlyHas(names: readonly string[]): void {
    for (const name of Object.keys(this.#object)) {
      if (!names.includes(name)) this.wrong(name, `is not known; there are ${names.join(", ")}`);
    }
  }

  text(name: string, pattern: RegExp, rule: string, fallback?: string): string {
    const value = this.#object[name] ?? fallback;
    if (typeof value === "string" && pattern.test(value)) return value;
    this.wrong(name, rule);
    return "";
  }

  units(name: string, least: number): bigint | undefined {
    const value = this.#object[name];
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return BigInt(value);
    this.wrong(name, `must be a whole number, at least ${least}`);
    return undefined;
  }

  wrong(name: string, rule: string): void {
    this.#tell(name === "" ? ` ${rule}` : `.${name} ${rule}`);
  }
}
