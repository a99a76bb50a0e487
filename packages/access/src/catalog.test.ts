import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ApiNode, Catalog, conflictsIn, type EndpointTemplate, isPlainPath } from "./catalog.ts";

const endpoint = (method: string, path: string, resource = `${method} ${path}`): EndpointTemplate => ({
  name: `${method} ${path}`,
  method,
  path,
  resource,
});
const api = (name: string, ...endpoints: EndpointTemplate[]): ApiNode => ({ name, endpoints });

const shop = api(
  "shop",
  endpoint("GET", "/"),
  endpoint("GET", "/orders"),
  endpoint("POST", "/orders"),
  endpoint("GET", "/orders/export"),
  endpoint("GET", "/orders/{id}"),
  endpoint("*", "/orders/{id}"),
  endpoint("GET", "/{any}/{id}/lines"),
  endpoint("*", "/files/{path=**}"),
  endpoint("GET", "/files/public"),
);
const catalog = new Catalog();
catalog.put(shop);

describe("the catalog", () => {
  it.each([
    ["GET", "/", "GET /"],
    ["GET", "/orders", "GET /orders"],
    ["POST", "/orders", "POST /orders"],
    ["GET", "/orders?limit=5&a=/b", "GET /orders"],
    ["GET", "/orders/17", "GET /orders/{id}"],
    ["DELETE", "/orders/17", "* /orders/{id}"],
    ["GET", "/orders/export", "GET /orders/export"],
    ["POST", "/orders/export", "* /orders/{id}"],
    ["GET", "/%6Frders/%65xport", "GET /orders/export"],
    ["GET", "/orders/a%20b", "GET /orders/{id}"],
    ["GET", "/orders/17/lines", "GET /{any}/{id}/lines"],
    ["GET", "/orders/export/lines", "GET /{any}/{id}/lines"],
    ["PUT", "/files", "* /files/{path=**}"],
    ["PUT", "/files/a/b/c", "* /files/{path=**}"],
    ["GET", "/files/public", "GET /files/public"],
    ["PUT", "/files/public", "* /files/{path=**}"],
  ])("takes %s %s for %s", (method, path, resource) => {
    expect(catalog.endpointOf(method, path)).toMatchObject({ name: resource, resource });
  });

  it.each([
    ["GET", "/nothing"],
    ["PATCH", "/orders"],
    ["get", "/orders"],
    ["GET", "orders"],
    ["GET", ""],
    ["GET", "/Orders"],
    ["GET", "/orders/17/more"],
    // Read in different ways by different servers.
    ["GET", "//orders"],
    ["GET", "/orders/"],
    ["GET", "/orders//17"],
    ["GET", "/orders/./17"],
    ["GET", "/files/../orders"],
    ["GET", "/files/%2e%2E/orders"],
    ["GET", "/orders/export;v=1"],
    ["GET", "/orders/export%3Bv=1"],
    ["GET", "/files/a%2Fb"],
    ["GET", "/files/a%5cb"],
    ["GET", "/files/a\\b"],
    ["GET", "/files/a%252Fb"],
    ["GET", "/files/a%00"],
    ["GET", "/files/a%3Fb"],
    ["GET", "/files/a#b"],
    ["GET", "/files/a b"],
    ["GET", "/files/\u00e9"],
    ["GET", "/files/%zz"],
    ["GET", "/files/%c0%ae"],
    ["GET", "/files/%"],
    ["GET", "/__proto__"],
  ])("takes %s %s for nothing", (method, path) => {
    expect(catalog.endpointOf(method, path)).toBeUndefined();
  });

  it("names templates that are none, and those that match the same calls", () => {
    const given = ["orders", "/a//b", "/a/", "/a/../b", "/{a=**}/b", "/{}", "/a b", "/a%20", "/{1}", "/a{b}"];
    const bad = given.map((path) => endpoint("GET", path));
    const conflicts = conflictsIn([
      api("bad", ...bad),
      api("one", endpoint("GET", "/things/{id}"), endpoint("*", "/things/{id}")),
      api("two", endpoint("GET", "/things/{name}"), endpoint("GET", "/things/{id=**}")),
    ]);
    expect(conflicts.map(({ endpoint: { path } }) => path)).toEqual([...given, "/things/{name}"]);
    expect(conflicts.at(-1)).toMatchObject({
      api: "two",
      description: "matches the same calls as GET /things/{id}",
    });
  });

  it("names templates that cross each other at every level", () => {
    const crossing = (levels: number) =>
      Array.from({ length: 2 ** levels }, (_, bits) => {
        const path = Array.from({ length: levels }, (_, level) => ((bits >> level) & 1 ? "/a" : "/{b}"));
        return endpoint("GET", path.join(""));
      });
    expect(conflictsIn([api("some", ...crossing(5))])).toEqual([]);
    const conflicts = conflictsIn([shop, api("many", ...crossing(8))]);
    expect(conflicts.map(({ api }) => api)).toEqual(["many"]);
  });

  it("matches nothing where two of different resources match equally well, until one is gone", () => {
    const catalog = new Catalog();
    catalog.put(api("old", endpoint("GET", "/things/{id}", "things.read")));
    catalog.put(api("new", endpoint("GET", "/things/{name}", "things.show")));
    expect(catalog.endpointOf("GET", "/things/1")).toBeUndefined();
    catalog.delete("old");
    expect(catalog.endpointOf("GET", "/things/1")?.resource).toBe("things.show");
    catalog.put(api("new"));
    expect(catalog.endpointOf("GET", "/things/1")).toBeUndefined();
  });

  it("agrees with trying every template, however it came to be what it is", () => {
    const segment = fc.constantFrom("a", "b", "{x}");
    const path = fc
      .tuple(fc.array(segment, { maxLength: 3 }), fc.boolean())
      .map(([segments, rest]) => `/${[...segments, ...(rest ? ["{r=**}"] : [])].join("/")}`);
    const endpoints = fc.array(
      fc.tuple(fc.constantFrom("GET", "*"), path).map(([method, text]) => endpoint(method, text)),
      { maxLength: 8 },
    );
    const changes = fc.array(fc.tuple(fc.constantFrom("one", "two"), endpoints), { maxLength: 6 });
    const called = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 4 });
    fc.assert(
      fc.property(changes, called, (puts, segments) => {
        const catalog = new Catalog();
        const now = new Map<string, ApiNode>();
        for (const [name, list] of puts) {
          catalog.put(api(name, ...list));
          now.set(name, api(name, ...list));
        }
        expect(catalog.endpointOf("GET", `/${segments.join("/")}`)?.resource).toBe(
          mostSpecific(
            [...now.values()].flatMap(({ endpoints }) => endpoints),
            segments,
          ),
        );
      }),
    );
  });
});

/** The reference: of all templates that match, the one whose segments rank first; GET ranks before any. */
function mostSpecific(endpoints: readonly EndpointTemplate[], segments: readonly string[]) {
  const ranked = endpoints.flatMap((each) => {
    const template = each.path.split("/").slice(1).filter(Boolean);
    const rest = template.at(-1) === "{r=**}";
    const fixed = rest ? template.slice(0, -1) : template;
    const fits =
      (rest ? fixed.length <= segments.length : fixed.length === segments.length) &&
      fixed.every((part, index) => part === "{x}" || part === segments[index]);
    const rank = `${fixed.map((part) => (part === "{x}" ? "1" : "0")).join("")}${rest ? "2" : ""} ${each.method === "GET" ? 0 : 1}`;
    return fits ? [{ rank, each }] : [];
  });
  ranked.sort((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0));
  return ranked[0]?.each.resource;
}

describe("a plain path", () => {
  it("is one that all servers read alike", () => {
    for (const path of ["/", "/a", "/a/", "/a/b.c/", "/a/%C3%BC", "/a?b=//../%2f", "/?a", "/a/?b"]) {
      expect(isPlainPath(path), path).toBe(true);
    }
  });

  it("has no empty segments, dots, parameters or hidden separators, and is a path", () => {
    const ambiguous = ["//", "/a//b", "//a", "/a//", "/a//?b", "/./a", "/a/..", "/a/../b/", "/a/%2e%2E/b"];
    const hidden = [
      "/a%2fb",
      "/a%5cb",
      "/a\\b",
      "/a;b=c",
      "/a%3Bb",
      "/a%252fb",
      "/a%",
      "/a%00",
      "/a#b",
      "/a b",
    ];
    for (const path of [...ambiguous, ...hidden, "", "a", "*", "https://x/a"]) {
      expect(isPlainPath(path), path).toBe(false);
    }
  });
});
