/** What `/metrics` showed at one moment. */
export class Scraped {
  readonly text: string;
  readonly #values = new Map<string, number>();
  /** The names of the metrics, without what a histogram puts after its own. */
  readonly names: readonly string[];

  constructor(text: string) {
    this.text = text;
    this.names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);
    for (const [, name, labels, value] of text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
      this.#values.set(seriesOf(name!, labelsOf(labels ?? "")), Number(value!.replace("Inf", "Infinity")));
    }
  }

  /** Throws where nothing of that name and these labels was shown; the label `service` is not asked for. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const value = this.#values.get(seriesOf(name, Object.entries(labels)));
    if (value === undefined) throw new Error(`no ${seriesOf(name, Object.entries(labels))} in /metrics`);
    return value;
  }
}

/** Asks a service for its metrics. */
export async function scrape({ httpAddress }: { readonly httpAddress: string }): Promise<Scraped> {
  const response = await fetch(`http://${httpAddress}/metrics`, { signal: AbortSignal.timeout(10_000) });
  return new Scraped(await response.text());
}

function labelsOf(text: string): [string, string][] {
  return [...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
    .map(([, name, value]): [string, string] => [name!, value!])
    .filter(([name]) => name !== "service");
}

function seriesOf(name: string, labels: readonly (readonly [string, string])[]): string {
  const sorted = labels.map(([label, value]) => `${label}=${value}`).sort();
  return `${name}{${sorted.join(",")}}`;
}
