/** One import, re-export or dynamic import of a source file. */
export interface Import {
  /** As written: `./lease.ts`, `@gatehouse/access`, `node:fs`. Empty where it is not a plain string. */
  readonly from: string;
  /** What is imported by name, before any `as`; `*` for all of a module, `default` for its default. */
  readonly names: readonly string[];
}

/**
 * The imports of a TypeScript source as Biome formats it: at the start of a line, in double quotes. That makes
 * a scan enough, where a parser would be one more dependency. Types count: a wall is about knowledge.
 */
export function importsOf(source: string): Import[] {
  const code = withoutComments(source);
  return [...staticImports(code), ...dynamicImports(code)];
}

const CLAUSE = String.raw`(?:type\s+)?(?<names>[\w$*{][\w$*{},\s]*?)\s+from\s+`;
const STATIC = new RegExp(String.raw`^\s*(?:import|export)\s+(?:${CLAUSE})?"(?<from>[^"\n]+)"`, "gm");
const DYNAMIC = /\b(?:import|require)\(\s*(?:"(?<from>[^"\n]+)"\s*[,)])?/g;

// Only comments that have a line to themselves or end one; in the midst of code none can look like an import.
function withoutComments(source: string): string {
  return source.replace(/^\s*\/\*[\s\S]*?\*\//gm, "").replace(/\/\/[^"`'\n]*$/gm, "");
}

function* staticImports(code: string): Iterable<Import> {
  for (const { groups } of code.matchAll(STATIC)) {
    yield { from: groups!.from!, names: namesOf(groups!.names ?? "") };
  }
}

function* dynamicImports(code: string): Iterable<Import> {
  for (const { groups } of code.matchAll(DYNAMIC)) {
    yield { from: groups!.from ?? "", names: ["*"] };
  }
}

function namesOf(clause: string): string[] {
  const [outside = "", braced = ""] = clause.split("{");
  const named = braced
    .replace("}", "")
    .split(",")
    .map((name) => name.trim().replace(/^type\s+/, ""))
    .map((name) => name.split(/\s+as\s+/)[0]!);
  const whole = outside.split(",").map((name) => (name.includes("*") ? "*" : name.trim() && "default"));
  return [...whole, ...named].filter(Boolean);
}
