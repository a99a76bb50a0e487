import { sleep, withDeadline } from "./deadline.ts";

/** A check resolves when its dependency can serve, and rejects or throws when it cannot. */
export type ReadinessChecks = Readonly<Record<string, () => void | Promise<void>>>;

// Kubernetes asks with a timeout of 1 s by default; an answer that names the slow check must come before.
const CHECK_MS_MAX = 800;
const ASK_AGAIN_MS = 20;

/** Whether a service can do its work now: it says it is serving, and all its checks pass. */
export class Readiness {
  serving = false;
  readonly #checks: ReadinessChecks;

  constructor(checks: ReadinessChecks) {
    this.#checks = checks;
  }

  /** Resolves when all checks pass, `serving` aside, or after `withinMs`. */
  async untilChecksPass(withinMs: number): Promise<void> {
    for (
      const untilMs = performance.now() + withinMs;
      performance.now() < untilMs;
      await sleep(ASK_AGAIN_MS)
    ) {
      const { checks } = await this.check();
      if (Object.entries(checks).every(([name, passed]) => passed || name === "serving")) return;
    }
  }

  /** Runs all checks at once, each for at most 0.8 s. Never rejects; says which passed, and not why not. */
  async check(): Promise<{ ready: boolean; checks: Record<string, boolean> }> {
    const names = ["serving", ...Object.keys(this.#checks)];
    const results = await Promise.allSettled([
      this.serving ? Promise.resolve() : Promise.reject(new Error("not serving")),
      ...Object.values(this.#checks).map((run) =>
        withDeadline((async () => run())(), CHECK_MS_MAX, () => new Error("too slow")),
      ),
    ]);
    const checks = Object.fromEntries(
      names.map((name, index) => [name, results[index]!.status === "fulfilled"]),
    );
    return { ready: Object.values(checks).every(Boolean), checks };
  }
}
