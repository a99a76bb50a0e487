/** Prints what a test measured, so that a run shows how far from its bounds the system is. */
export function measured(what: string, numbers: Readonly<Record<string, unknown>>): void {
  const shown = Object.entries(numbers).map(([name, value]) => `${name} ${format(value)}`);
  console.log(`measured: ${what}: ${shown.join(", ")}`);
}

function format(value: unknown): string {
  if (typeof value === "number") return String(Math.round(value * 10) / 10);
  return typeof value === "string" ? value : JSON.stringify(value);
}
