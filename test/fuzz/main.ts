import { parseArgs } from "node:util";
import { howToRepeat, tryInput, tryInputs } from "./run.ts";
import { targets } from "./targets.ts";

const STRETCH = 2000;
const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    target: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    input: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  console.log(`npm run fuzz -- [--minutes n] [--target name] [--seed n] [--input n]

--minutes  how long, over all targets; default 1
--target   one of ${Object.keys(targets).join(", ")}; default all
--seed     makes the same inputs again; default another each time
--input    tries one input of that seed, and shows whatever it throws`);
  process.exit(0);
}
const seed = Number(values.seed);
const names = values.target === undefined ? Object.keys(targets) : [values.target];
if (names.some((name) => targets[name] === undefined)) {
  console.error(`targets: ${Object.keys(targets).join(", ")}`);
  process.exit(2);
}
if (values.input !== undefined) {
  // Whatever it throws is to be seen whole.
  for (const name of names) tryInput(targets[name]!, seed, Number(values.input));
  process.exit(0);
}

console.log(`seed ${seed}`);
const inputs = Object.fromEntries(names.map((name) => [name, { count: 0, ms: 0 }]));
const endMs = performance.now() + Number(values.minutes) * 60_000;
while (performance.now() < endMs) {
  for (const name of names) {
    const tried = inputs[name]!;
    const beganMs = performance.now();
    const finding = tryInputs(name, seed, tried.count, STRETCH);
    if (finding !== undefined) {
      console.error(finding.error);
      console.error(`input ${finding.n} of ${name}; again by: ${howToRepeat(finding, seed)}`);
      process.exit(1);
    }
    tried.count += STRETCH;
    tried.ms += performance.now() - beganMs;
  }
}
for (const [name, { count, ms }] of Object.entries(inputs)) {
  const perMinute = Math.round((count / ms) * 60_000);
  console.log(
    `${name.padEnd(16)}${String(count).padStart(12)} inputs${String(perMinute).padStart(12)} a minute of its own`,
  );
}
