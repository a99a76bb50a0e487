/**
 * Which endpoint an HTTP call is to, and so which resource it takes, by the catalog's path templates.
 *
 * A template is literal segments, `{name}` for one segment, and a final `{name=**}` for the rest or nothing. Of several
 * that match a path the most specific wins: at the first segment in which they differ a literal before `{name}` before
 * `{name=**}`, and of one template for all methods and one for the call's own the latter.
 *
 * A path that servers read in different ways matches nothing, or a call could pass here as one endpoint and be taken
 * behind the gateway for another: empty segments (`//`, and a slash at the end), `.` and `..`, path parameters (`;`), and
 * encoded separators or escapes, however often encoded.
 */

export interface ApiNode {
  readonly name: string;
  readonly endpoints: readonly EndpointTemplate[];
}

export interface EndpointTemplate {
  /** Unique among the endpoints of all APIs. */
  readonly name: string;
  /** In capitals, or `*` for any. */
  readonly method: string;
  readonly path: string;
  /** What calling it takes. */
  readonly resource: string;
}

/** What is wrong with one endpoint of a catalog. */
export interface CatalogConflict {
  readonly api: string;
  readonly endpoint: EndpointTemplate;
  readonly description: string;
}

/** Deeper than any API goes; matching visits no template beyond it. */
const MAX_SEGMENTS = 32;
/** What one match visits at worst. Ordinary catalogs stay below 50; templates crossing each other at every level double. */
const MAX_VISITS = 256;

export const HTTP_METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/;

/** A compiled catalog whose APIs come and go; each costs what it has endpoints. */
export class Catalog {
  readonly #apis = new Map<string, ApiNode>();
  #root = new Branch();

  put(api: ApiNode): void {
    this.delete(api.name);
    this.#apis.set(api.name, api);
    for (const endpoint of api.endpoints) {
      const segments = templateSegments(endpoint.path);
      if (segments !== undefined) insert(this.#root, segments, 0, endpoint);
    }
  }

  delete(name: string): void {
    for (const endpoint of this.#apis.get(name)?.endpoints ?? []) {
      const segments = templateSegments(endpoint.path);
      if (segments !== undefined) remove(this.#root, segments, 0, endpoint);
    }
    this.#apis.delete(name);
  }

  clear(): void {
    this.#apis.clear();
    this.#root = new Branch();
  }

  /**
   * Undefined where nothing matches, or endpoints of different resources do so equally well. Of those of one resource,
   * which are there together only while the catalog changes, the first.
   */
  endpointOf(method: string, path: string): EndpointTemplate | undefined {
    const segments = pathSegments(path);
    const found = segments && search(this.#root, segments, 0, method);
    if (found === undefined) return undefined;
    const first = found[0]!;
    return found.every(({ resource }) => resource === first.resource) ? first : undefined;
  }
}

/**
 * Do all servers read a path, with its query, alike? Not where it has empty segments, dots, a `;`, or what decodes to
 * a separator. A slash at its end makes it another path, which is as clear.
 */
export function isPlainPath(path: string): boolean {
  const [plain = ""] = path.split("?", 1);
  return pathSegments(/[^/]\/$/.test(plain) ? plain.slice(0, -1) : plain) !== undefined;
}

/** What is wrong with a path template; undefined for nothing. */
export function templateProblem(path: string): string | undefined {
  if (templateSegments(path) !== undefined) return undefined;
  return `must be / or up to ${MAX_SEGMENTS} segments: letters, digits and -._~!$&'()*+,=:@, or {name}, or last {name=**}`;
}

/** What is wrong in a catalog. Of endpoints in conflict the later is named, so give what is new last. */
export function conflictsIn(apis: readonly ApiNode[]): CatalogConflict[] {
  const root = new Branch();
  const taken = new Map<string, EndpointTemplate>();
  const conflicts: CatalogConflict[] = [];
  for (const { name: api, endpoints } of apis) {
    for (const endpoint of endpoints) {
      const segments = templateSegments(endpoint.path);
      const shape = segments && `${endpoint.method} ${segments.map(shapeOf).join("/")}`;
      const problem = shape === undefined ? templateProblem(endpoint.path) : taken.get(shape);
      if (problem !== undefined) {
        const description =
          typeof problem === "string" ? problem : `matches the same calls as ${problem.name}`;
        conflicts.push({ api, endpoint, description });
        continue;
      }
      taken.set(shape!, endpoint);
      insert(root, segments!, 0, endpoint);
    }
  }
  const last = apis.at(-1)?.endpoints.at(-1);
  if (last !== undefined && mostVisits(root) > MAX_VISITS) {
    const description = "the templates cross each other at so many levels that matching would take long";
    conflicts.push({ api: apis.at(-1)!.name, endpoint: last, description });
  }
  return conflicts;
}

/** A segment of a template: a literal, or what a `{name}` stands for. */
type Segment = string | typeof ANY | typeof REST;
const ANY = Symbol("{}");
const REST = Symbol("{=**}");

/** A prefix of templates. */
class Branch {
  readonly literals = new Map<string, Branch>();
  any: Branch | undefined;
  /** Of templates that end here, by method; more than one only while the catalog changes. */
  readonly here = new Map<string, readonly EndpointTemplate[]>();
  /** Of templates whose rest begins here. */
  readonly rest = new Map<string, readonly EndpointTemplate[]>();

  get isEmpty(): boolean {
    return this.literals.size + this.here.size + this.rest.size === 0 && this.any === undefined;
  }
}

type Found = readonly EndpointTemplate[] | undefined;

// As deep as templates are, whatever the path is.
function search(branch: Branch, segments: readonly string[], at: number, method: string): Found {
  if (at === segments.length) {
    return ofMethod(branch.here, method) ?? ofMethod(branch.rest, method);
  }
  const literal = branch.literals.get(segments[at]!);
  return (
    (literal && search(literal, segments, at + 1, method)) ??
    (branch.any && search(branch.any, segments, at + 1, method)) ??
    ofMethod(branch.rest, method)
  );
}

function ofMethod(endpoints: ReadonlyMap<string, readonly EndpointTemplate[]>, method: string): Found {
  return endpoints.get(method) ?? endpoints.get("*");
}

function insert(branch: Branch, segments: readonly Segment[], at: number, endpoint: EndpointTemplate): void {
  const segment = segments[at];
  if (segment === undefined || segment === REST) {
    const leaf = segment === undefined ? branch.here : branch.rest;
    leaf.set(endpoint.method, [...(leaf.get(endpoint.method) ?? []), endpoint]);
    return;
  }
  let next = segment === ANY ? branch.any : branch.literals.get(segment);
  if (next === undefined) {
    next = new Branch();
    if (segment === ANY) branch.any = next;
    else branch.literals.set(segment, next);
  }
  insert(next, segments, at + 1, endpoint);
}

function remove(branch: Branch, segments: readonly Segment[], at: number, endpoint: EndpointTemplate): void {
  const segment = segments[at];
  if (segment === undefined || segment === REST) {
    const leaf = segment === undefined ? branch.here : branch.rest;
    const left = leaf.get(endpoint.method)?.filter((other) => other !== endpoint) ?? [];
    if (left.length === 0) leaf.delete(endpoint.method);
    else leaf.set(endpoint.method, left);
    return;
  }
  const next = segment === ANY ? branch.any : branch.literals.get(segment);
  if (next === undefined) return;
  remove(next, segments, at + 1, endpoint);
  if (!next.isEmpty) return;
  if (segment === ANY) branch.any = undefined;
  else branch.literals.delete(segment);
}

// A path follows one literal and `{name}` from each branch.
function mostVisits({ literals, any }: Branch): number {
  let most = 0;
  for (const literal of literals.values()) most = Math.max(most, mostVisits(literal));
  return 1 + most + (any === undefined ? 0 : mostVisits(any));
}

const LITERAL = /^[A-Za-z0-9._~!$&'()*+,=:@-]+$/;
const VARIABLE = /^\{[A-Za-z_][A-Za-z0-9_]*(=\*\*)?\}$/;

function templateSegments(path: string): readonly Segment[] | undefined {
  if (path === "/") return [];
  const [before, ...texts] = path.split("/");
  if (before !== "" || texts.length === 0 || texts.length > MAX_SEGMENTS) return undefined;
  const segments: Segment[] = [];
  for (const text of texts) {
    const variable = VARIABLE.exec(text);
    if (segments.at(-1) === REST || (variable === null && (!LITERAL.test(text) || isDots(text)))) {
      return undefined;
    }
    segments.push(variable === null ? text : variable[1] === undefined ? ANY : REST);
  }
  return segments;
}

function shapeOf(segment: Segment): string {
  return typeof segment === "string" ? segment : segment.description!;
}

/** What RFC 3986 lets into a path as it is, without `;`. */
const PATH = /^(?:\/[A-Za-z0-9._~!$&'()*+,=:@%-]+)+$/;
/** What is not to be in a segment once it is decoded: separators, controls, and what would decode again. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is to find.
const UNSAFE = /[\u0000-\u001f\u007f/\\;?#]|%[0-9A-Fa-f]{2}/;

function pathSegments(path: string): readonly string[] | undefined {
  const query = path.indexOf("?");
  const plain = query < 0 ? path : path.slice(0, query);
  if (plain === "/") return [];
  if (!PATH.test(plain)) return undefined;
  const segments = plain.slice(1).split("/");
  for (const [index, segment] of segments.entries()) {
    const decoded = segment.includes("%") ? decode(segment) : segment;
    if (decoded === undefined || isDots(decoded)) return undefined;
    segments[index] = decoded;
  }
  return segments;
}

function decode(segment: string): string | undefined {
  try {
    const decoded = decodeURIComponent(segment);
    return UNSAFE.test(decoded) ? undefined : decoded;
  } catch {
    return undefined;
  }
}

function isDots(segment: string): boolean {
  return segment === "." || segment === "..";
}
