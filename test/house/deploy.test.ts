import { globSync } from "node:fs";
import { KeyFormat, parsePepper } from "@gatehouse/keys";
import { expect, test } from "vitest";
import { fillSecrets } from "../../scripts/make-env.ts";
import { repositoryRoot, textOf } from "./repository.ts";

const example = textOf("deploy/.env.example");

function namesIn(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, name]) => name!))].sort();
}

test("the image runs the Node that the tests run", () => {
  const { devDependencies } = JSON.parse(textOf("package.json")) as { devDependencies: { node: string } };
  const images = namesIn(textOf("deploy/Dockerfile"), /^FROM (\S+)/gm);
  expect(images).toEqual([`node:${devDependencies.node}-bookworm-slim`]);
});

test("every program of deploy/ that the image runs gets into it", () => {
  const entry = textOf("deploy/gatehouse");
  const run = [
    ...namesIn(entry, /\bnode (deploy\/\S+\.ts)/g),
    ...namesIn(textOf("deploy/Dockerfile"), /"(deploy\/\S+\.ts)"/g),
  ];
  expect(run).toEqual(["deploy/audit-books.ts", "deploy/restored.ts", "deploy/healthcheck.ts"]);
  const [copied] = namesIn(textOf("deploy/Dockerfile"), /^COPY (deploy\/gatehouse .+) deploy\/$/gm);
  expect(copied!.split(" ").sort()).toEqual(["deploy/gatehouse", ...run].sort());
  expect(namesIn(textOf(".dockerignore"), /^!(deploy\/\S+)$/gm)).toEqual(["deploy/gatehouse", ...run].sort());
});

test("every variable that compose asks for is in the example, and no other", () => {
  const asked = namesIn(textOf("docker-compose.yml"), /\$\{(\w+)/g);
  expect(namesIn(example, /^(\w+)=/gm)).toEqual(asked);
});

test("every variable that the image and compose set is one that a service reads", () => {
  const configs = globSync("services/*/src/config.ts", { cwd: repositoryRoot }).map(textOf).join();
  const set = [
    ...namesIn(textOf("deploy/Dockerfile"), /\b(GATEHOUSE_\w+)=/g),
    ...namesIn(textOf("docker-compose.yml"), /^ +(GATEHOUSE_\w+):/gm),
  ];
  const unread = set.filter((name) => !configs.includes(`"${name}"`));
  expect(set.length).toBeGreaterThan(15);
  // NATS's own, for its configuration file.
  expect(unread).toEqual(["GATEHOUSE_NATS_PASSWORD"]);
});

test("every variable that a service reads is on the page of settings, and no other", () => {
  const configs = globSync("services/*/src/config.ts", { cwd: repositoryRoot }).map(textOf).join();
  const read = new Set(namesIn(configs, /"(GATEHOUSE_\w+)"/g));
  const told = new Set(namesIn(textOf("docs/settings.md"), /`(GATEHOUSE_[A-Z_]+)`/g));
  expect(read.size).toBeGreaterThan(40);
  expect([...told].sort()).toEqual([...read].sort());
});

test("an .env made from the example leaves nothing empty, and its root key is of its peppers", () => {
  const filled = fillSecrets(example);
  expect(namesIn(filled, /^(\w+)=$/gm)).toEqual([]);
  const [pepper] = namesIn(filled, /^GATEHOUSE_PEPPERS=(.+)$/gm);
  const [rootKey] = namesIn(filled, /^GATEHOUSE_ROOT_KEY=(.+)$/gm);
  const format = new KeyFormat({ peppers: [parsePepper(pepper!)] });
  expect(format.authentic(rootKey!)).toBe(true);
  expect(fillSecrets(filled)).toBe(filled);
});
