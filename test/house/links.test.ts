import { existsSync, globSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { repositoryRoot, textOf } from "./repository.ts";

const pages = globSync("**/*.md", { cwd: repositoryRoot, exclude: (name) => name.includes("node_modules") });

test("every link between pages leads somewhere", () => {
  const links = pages.flatMap((page) => linksOf(page).map((link) => ({ page, link })));
  expect(links.length).toBeGreaterThan(60);
  expect(links.filter(({ page, link }) => !isThere(page, link))).toEqual([]);
});

test("it would be told of a page that is gone, and of a heading", () => {
  expect(isThere("README.md", "docs/operations.md#stopping")).toBe(true);
  expect(isThere("README.md", "docs/nowhere.md")).toBe(false);
  expect(isThere("README.md", "docs/operations.md#nowhere")).toBe(false);
});

function linksOf(page: string): string[] {
  const text = textOf(page).replaceAll(/^ *```.*?^ *```/gms, "");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link!)
    .filter((link) => !/^\w+:/.test(link));
}

function isThere(page: string, link: string): boolean {
  const [path, heading] = link.split("#") as [string, string | undefined];
  const target = path === "" ? page : normalize(join(dirname(page), path));
  if (!existsSync(join(repositoryRoot, target))) return false;
  return heading === undefined || !target.endsWith(".md") || headingsOf(target).includes(heading);
}

// As they are shown: in small letters, without signs, with hyphens for spaces.
function headingsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!
      .trim()
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}
