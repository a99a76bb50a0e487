import { globSync } from "node:fs";
import { expect, test } from "vitest";
import { repositoryRoot, textOf } from "./repository.ts";

/** A test, as a proof names it: `path`: "name", "name". */
const CITED = /`([\w./-]+\.test\.ts)`: ((?:"[^"]+"(?:, )?)+)/g;
/** A rule that is off, as the proof of revocations names it: scripted, real, both or off: "name". */
const OFF = /\b(?:scripted|real|both|off): ((?:"[^"]+"(?:, )?)+)/g;
const WEAKENED = ["services/authz/test/stale-answers.test.ts", "test/faults/revocation-weakened.test.ts"];

const proofs = globSync("docs/proofs/*.md", { cwd: repositoryRoot });

function namesIn(quoted: string): string[] {
  return [...quoted.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
}

test("every test that a proof names is there", () => {
  const missing: string[] = [];
  let cited = 0;
  for (const proof of proofs) {
    for (const [, path, quoted] of textOf(proof).matchAll(CITED)) {
      for (const name of namesIn(quoted!)) {
        cited++;
        if (!textOf(path!).includes(`"${name}"`)) missing.push(`${proof}: ${path} has no test "${name}"`);
      }
    }
  }
  expect(missing).toEqual([]);
  expect(cited).toBeGreaterThan(20);
});

test("every rule that the proof of revocations says is switched off is, where it says so", () => {
  const proof = textOf("docs/proofs/revocation.md");
  const [scripted, real] = WEAKENED.map(textOf) as [string, string];
  const missing: string[] = [];
  for (const [row, quoted] of proof.matchAll(OFF)) {
    for (const name of namesIn(quoted!)) {
      const off = `off: "${name}"`;
      if (!/^real/.test(row) && !scripted.includes(off)) missing.push(`scripted: ${name}`);
      if (/^(real|both)/.test(row) && !real.includes(off)) missing.push(`real: ${name}`);
    }
  }
  expect(missing).toEqual([]);
  const weakenings = namesIn(
    [...textOf("services/authz/test/weakenings.ts").matchAll(/^ {2}"[^"]+": \{/gm)].join("\n"),
  );
  expect(weakenings.length).toBeGreaterThan(15);
  expect(weakenings.filter((name) => !proof.includes(`"${name}"`) && !proof.includes(name))).toEqual([
    "does not doubt what a bell names",
  ]);
});

test("every rule of leases that can be switched off is in the proof of limits", () => {
  const proof = textOf("docs/proofs/limits.md");
  const source = textOf("test/faults/lease-weakenings.ts");
  const weakenings = namesIn([...source.matchAll(/^ {2}"[^"]+": \(/gm)].join("\n"));
  expect(weakenings.length).toBeGreaterThan(3);
  expect(weakenings.filter((name) => !proof.includes(`"${name}"`))).toEqual([]);
});

test("a process is killed at every step that it can be killed at", () => {
  const tested = textOf("test/faults/fault-points.test.ts");
  for (const program of ["faulty-authz.ts", "faulty-metering.ts"]) {
    const [, steps] = /const steps[^=]*= \{\n([^;]+?)\n\}/.exec(textOf(`test/faults/${program}`))!;
    const names = [...steps!.matchAll(/^ {2}(?:"([^"]+)"|(\w+)):/gm)].map(
      ([, quoted, bare]) => quoted ?? bare!,
    );
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter((name) => !tested.includes(`"${name}"`))).toEqual([]);
  }
});
