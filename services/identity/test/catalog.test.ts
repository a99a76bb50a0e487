import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

const read = { name: "weather.read", method: "GET", path: "/weather/{city}", resource: "weather.read" };

describe("the catalog", () => {
  it("has endpoints and features, and tells followers of them", async () => {
    const { catalog } = system.root;
    const { head } = await system.feed.getHead({}, timely);
    const rest = { name: "files", method: "*", path: "/files/{path=**}", resource: "files.any" };
    const features = [{ name: "export", title: "Export", resource: "weather.export" }];
    const created = await catalog.createApi(
      { name: "weather", title: "Weather", endpoints: [{ ...read, title: "Read" }, rest], features },
      timely,
    );
    expect(created.api).toMatchObject({
      name: "weather",
      endpoints: [{ ...read, title: "Read" }, rest],
      features,
    });
    await catalog.updateApi({ api: "weather", endpoints: [read] }, timely);
    expect((await system.feed.resolveCatalog({}, timely)).apis).toMatchObject([
      { name: "weather", endpoints: [read] },
    ]);
    await catalog.deleteApi({ api: "weather" }, timely);
    expect((await system.feed.resolveCatalog({}, timely)).apis).toEqual([]);
    const { changes } = await system.feed.listChanges({ after: head! }, timely);
    // As it is at the position of the answer: gone, whenever it was told of.
    expect(changes.map(({ entity, deleted }) => [entity.case, deleted])).toEqual(
      Array(3).fill(["api", true]),
    );
  });

  it("names everything that is wrong with an API", async () => {
    const endpoints = [
      { name: "Bad Name", method: "get", path: "weather", resource: "weather.*" },
      { name: "own", method: "*", path: "/keys", resource: "gatehouse.keys.read" },
      { name: "own", method: "*", path: "/{rest=**}/more", resource: "gatehouse" },
      { name: "long", method: "GET", path: `/${"x".repeat(500)}`, resource: "a" },
      { name: "deep", method: "GET", path: "/x".repeat(40), resource: "a" },
      { name: "dots", method: "GET", path: "/a/../b", resource: "a" },
    ];
    const features = [{ name: "", resource: "" }];
    const bad = await badFieldsOf(
      system.root.catalog.createApi({ name: "bad", endpoints, features }, timely),
    );
    expect(bad.sort()).toEqual([
      "endpoints[0].method",
      "endpoints[0].name",
      "endpoints[0].path",
      "endpoints[0].resource",
      "endpoints[1].resource",
      "endpoints[2].name",
      "endpoints[2].path",
      "endpoints[2].resource",
      "endpoints[3].path",
      "endpoints[4].path",
      "endpoints[5].path",
      "features[0].name",
      "features[0].resource",
    ]);
    const many = Array.from({ length: 501 }, (_, n) => ({ ...read, name: `e${n}`, path: `/${n}` }));
    expect(
      await badFieldsOf(system.root.catalog.createApi({ name: "many", endpoints: many }, timely)),
    ).toEqual(["endpoints"]);
    const title = "t".repeat(100);
    const large = many.slice(1).map((each, n) => ({ ...each, title, path: `/${"x".repeat(400)}/${n}` }));
    expect(
      await badFieldsOf(system.root.catalog.createApi({ name: "large", endpoints: large }, timely)),
    ).toEqual(["endpoints"]);
  });

  it("has each name, and each template, once over all APIs", async () => {
    const { catalog } = system.root;
    await catalog.createApi({ name: "first", endpoints: [read], features: [read] }, timely);
    const sameNames = { name: "second", endpoints: [{ ...read, path: "/x" }], features: [read] };
    expect(await badFieldsOf(catalog.createApi(sameNames, timely))).toEqual([
      "endpoints[0].name",
      "features[0].name",
    ]);
    const sameCalls = { ...read, name: "other", path: "/weather/{place}" };
    const refusal = await catalog
      .createApi({ name: "second", endpoints: [{ ...read, name: "ok", path: "/ok" }, sameCalls] }, timely)
      .catch((failure: { violations: { field: string; description: string }[] }) => failure.violations);
    expect(refusal).toEqual([
      { field: "endpoints[1].path", description: "matches the same calls as weather.read" },
    ]);
    const specific = { ...read, name: "nearer", path: "/weather/here" };
    const post = { ...read, name: "post", method: "POST" };
    expect(await reasonOf(catalog.createApi({ name: "second", endpoints: [specific, post] }, timely))).toBe(
      "OK",
    );
  });

  it("keeps the resource of an endpoint that stays: keys are held to it", async () => {
    const { catalog } = system.root;
    const endpoint = { name: "stays", method: "GET", path: "/stays", resource: "stays.read" };
    await catalog.createApi({ name: "keeping", endpoints: [endpoint] }, timely);
    const moved = { ...endpoint, method: "POST", path: "/moved" };
    const other = { ...moved, resource: "other.read" };
    expect(await badFieldsOf(catalog.updateApi({ api: "keeping", endpoints: [other] }, timely))).toEqual([
      "endpoints[0].resource",
    ]);
    const { api } = await catalog.updateApi({ api: "keeping", endpoints: [moved] }, timely);
    expect(api!.endpoints).toMatchObject([moved]);
    const emptied = { api: "keeping", updateMask: { paths: ["endpoints"] } };
    expect((await catalog.updateApi(emptied, timely)).api!.endpoints).toEqual([]);
  });

  it("is as large as one answer at most", async () => {
    const { catalog } = system.root;
    const title = "t".repeat(100);
    const outcomes: string[] = [];
    for (let api = 0; api < 12; api++) {
      const endpoints = Array.from({ length: 480 }, (_, n) => ({
        name: `e${n}.of${api}`,
        title,
        method: "GET",
        path: `/${"x".repeat(300)}/${api}/${n}`,
        resource: "a",
      }));
      outcomes.push(await reasonOf(catalog.createApi({ name: `large${api}`, endpoints }, timely)));
    }
    expect(outcomes.indexOf("PLAN_LIMIT")).toBeGreaterThan(5);
    expect((await catalog.listApis({}, timely)).apis.length).toBeGreaterThan(5);
  });
});
