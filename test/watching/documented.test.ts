import { describe, expect, test } from "vitest";
import { textOf } from "../house/repository.ts";
import { scrape } from "../system/scrape.ts";
import { useSystem } from "../system/use-system.ts";

/** docs/metrics.md and deploy/prometheus-alerts.yaml speak of what there is, and of all of it. */

const system = useSystem({ replicas: [{}, { environment: { GATEHOUSE_WORKERS: "2" } }] });
const SERVICES = ["identity", "authz", "metering"] as const;

async function shownBy(service: (typeof SERVICES)[number]): Promise<readonly string[]> {
  const { identity, metering, replicas } = system();
  const { names } = await scrape({ identity, metering, authz: replicas[0]!.process }[service]);
  return names;
}

/** The rows of the tables of docs/metrics.md: names and the services that show them. */
function documented(): ReadonlyMap<string, readonly string[]> {
  const rows = textOf("docs/metrics.md").matchAll(/^\| `(\w+)(?:\{[^}]*\})?` \| ([^|]+) \|/gm);
  return new Map([...rows].map(([, name, services]) => [name!, services!.trim().split(/, /)]));
}

/** Names in expressions, without what a histogram puts after its own. */
function namesIn(text: string): readonly string[] {
  const expressions = [...text.matchAll(/^ +expr: (.*(?:\n {10,}.*)*)/gm)].map(
    ([, expression]) => expression!,
  );
  const names = expressions.flatMap((each) => [...each.matchAll(/\b(?:gatehouse|nodejs|process)_\w+/g)]);
  return [...new Set(names.map(([name]) => name.replace(/_(bucket|sum|count)$/, "")))];
}

describe("docs/metrics.md", () => {
  test.each(SERVICES)("lists what %s shows, and nothing else of ours", async (service) => {
    const listed = [...documented()]
      .filter(([, services]) => services.includes(service))
      .map(([name]) => name);
    const shown = (await shownBy(service)).filter((name) => name.startsWith("gatehouse_"));
    expect([...listed].sort()).toEqual([...shown].sort());
    expect(shown.length).toBeGreaterThan(5);
  });

  test("lists what authz shows in workers", async () => {
    const { names } = await scrape(system().replicas[1]!.process);
    const ours = (all: readonly string[]) => all.filter((name) => name.startsWith("gatehouse_")).sort();
    expect(ours(names)).toEqual(ours(await shownBy("authz")));
  });

  test("names what Node and the process say of themselves", async () => {
    const text = textOf("docs/metrics.md");
    const named = [...text.matchAll(/`((?:nodejs|process)_\w+)`/g)].map(([, name]) => name!);
    for (const service of SERVICES) expect(await shownBy(service)).toEqual(expect.arrayContaining(named));
    expect(named).toContain("nodejs_eventloop_lag_seconds");
  });
});

describe("deploy/prometheus-alerts.yaml", () => {
  test("asks for metrics that there are", async () => {
    const asked = namesIn(textOf("deploy/prometheus-alerts.yaml"));
    const shown = new Set((await Promise.all(SERVICES.map(shownBy))).flat());
    expect(asked.length).toBeGreaterThan(10);
    expect(asked.filter((name) => !shown.has(name))).toEqual([]);
  });

  test("has an alert for all that docs/metrics.md says to alert on", () => {
    const alerts = [...textOf("deploy/prometheus-alerts.yaml").matchAll(/^ +- alert: (\w+)$/gm)].map(
      ([, name]) => name!,
    );
    const named = [...textOf("docs/metrics.md").matchAll(/\b(Gatehouse[A-Z]\w+)\b/g)].map(([name]) => name);
    expect([...new Set(named)].sort()).toEqual([...alerts].sort());
  });
});
