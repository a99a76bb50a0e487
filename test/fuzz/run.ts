import { Random } from "./random.ts";
import { type Target, targets } from "./targets.ts";

/** An input that broke what must hold. */
export interface Finding {
  readonly target: string;
  readonly n: number;
  readonly error: unknown;
}

/** The n-th input of a seed is the same whatever was tried before it. */
export function tryInput(target: Target, seed: number, n: number): void {
  target(new Random(Math.imul(seed, 0x9e37_79b1) ^ Math.imul(n, 0x85eb_ca6b)));
}

/** Tries inputs from the `first` on; answers the first that broke something. */
export function tryInputs(name: string, seed: number, first: number, count: number): Finding | undefined {
  const target = targets[name]!;
  for (let n = first; n < first + count; n++) {
    try {
      tryInput(target, seed, n);
    } catch (error) {
      return { target: name, n, error };
    }
  }
  return undefined;
}

/** How to see it again. */
export function howToRepeat({ target, n }: Finding, seed: number): string {
  return `npm run fuzz -- --target ${target} --seed ${seed} --input ${n}`;
}
