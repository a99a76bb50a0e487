import { conflictsIn, HTTP_METHOD, templateProblem } from "@gatehouse/access";
import { isResource } from "@gatehouse/scopes";
import { Fields } from "../fields.ts";
import type { Api } from "./definition.ts";
import { type Kind, type Step, title } from "./kind.ts";

const MAX_ENDPOINTS = 500;
const MAX_FEATURES = 100;
const MAX_PATH = 500;
/** Of one API, as JSON. */
const MAX_BYTES = 256 * 1024;

const NAME = /^[a-z0-9._-]{1,63}$/;
const METHOD_RULE = "* or an HTTP method in capitals";
const NAME_RULE = "1 to 63 of a-z, 0-9, ., - and _";

/** The API catalog. It is read as a whole, by every gateway. */
export const APIS: Kind<"api"> = {
  kind: "api",
  what: "api",
  many: "APIs",
  scopes: "gatehouse.catalog",
  fields: {
    title,
    endpoints(fields, field, value) {
      requireFew(fields, field, value, MAX_ENDPOINTS);
      return value.slice(0, MAX_ENDPOINTS).map(({ name, title, method, path, resource }, index) => {
        checkNamed(fields, `${field}[${index}]`, { name, title, resource });
        if (method !== "*") fields.pattern(`${field}[${index}].method`, method, HTTP_METHOD, METHOD_RULE);
        checkPath(fields, `${field}[${index}].path`, path);
        return { name, title, method, path, resource };
      });
    },
    features(fields, field, value) {
      requireFew(fields, field, value, MAX_FEATURES);
      return value.slice(0, MAX_FEATURES).map(({ name, title, resource }, index) => {
        checkNamed(fields, `${field}[${index}]`, { name, title, resource });
        return { name, title, resource };
      });
    },
  },
  most: 100,
  // One answer to a gateway, and to ListApis, holds all of it.
  mostBytes: 2 * 1024 * 1024,
  rule(_change, step) {
    if (step.after === undefined) return;
    const fields = new Fields();
    requireUnique(fields, step, step.after);
    requireSameResources(fields, step.before, step.after);
    requireOneMatch(fields, step, step.after);
    fields.check();
  },
};

interface Named {
  readonly name: string;
  readonly title: string;
  readonly resource: string;
}

function requireFew(fields: Fields, field: string, value: readonly Named[], most: number): void {
  if (value.length > most) fields.wrong(field, `must have at most ${most}`);
  if (Buffer.byteLength(JSON.stringify(value)) > MAX_BYTES) {
    fields.wrong(field, `must have at most ${MAX_BYTES} bytes of JSON`);
  }
  const first = new Map<string, number>();
  for (const [index, { name }] of value.slice(0, most).entries()) {
    const at = first.get(name);
    if (at === undefined) first.set(name, index);
    else fields.wrong(`${field}[${index}].name`, `is that of ${field}[${at}]`);
  }
}

function checkNamed(fields: Fields, field: string, { name, title: shown, resource }: Named): void {
  fields.pattern(`${field}.name`, name, NAME, NAME_RULE);
  title(fields, `${field}.title`, shown);
  if (!isResource(resource)) fields.wrong(`${field}.resource`, "must be a resource, such as weather.read");
  else if (resource === "gatehouse" || resource.startsWith("gatehouse.")) {
    fields.wrong(`${field}.resource`, "must not be under gatehouse, which is Gatehouse's own");
  }
}

function checkPath(fields: Fields, field: string, path: string): void {
  const problem = path.length > MAX_PATH ? `must have at most ${MAX_PATH} characters` : templateProblem(path);
  if (problem !== undefined) fields.wrong(field, problem);
}

/** Names are unique over all APIs: keys are held to endpoints by name. */
function requireUnique(fields: Fields, { name: own, all }: Step<"api">, api: Api): void {
  for (const list of ["endpoints", "features"] as const) {
    const taken = new Map<string, string>();
    for (const { name: other, body } of all) {
      if (other !== own) for (const { name } of body[list]) taken.set(name, other);
    }
    for (const [index, { name }] of api[list].entries()) {
      const other = taken.get(name);
      if (other !== undefined) fields.wrong(`${list}[${index}].name`, `is taken in the API ${other}`);
    }
  }
}

/** Keys that are held to an endpoint hold its resource: another one under its name would widen nothing for them. */
function requireSameResources(fields: Fields, before: Api | undefined, after: Api): void {
  const resources = new Map(before?.endpoints.map(({ name, resource }) => [name, resource]));
  for (const [index, { name, resource }] of after.endpoints.entries()) {
    const kept = resources.get(name) ?? resource;
    if (kept !== resource) fields.wrong(`endpoints[${index}].resource`, `of ${name} stays ${kept}`);
  }
}

/** Two endpoints that match the same calls equally well would make one call two resources. */
function requireOneMatch(fields: Fields, { name: own, all }: Step<"api">, { endpoints }: Api): void {
  const others = all.filter(({ name }) => name !== own).map(({ name, body }) => ({ name, ...body }));
  const conflicts = conflictsIn([...others, { name: own, endpoints }]);
  for (const { api, endpoint, description } of conflicts) {
    if (api === own)
      fields.wrong(
        `endpoints[${endpoints.findIndex(({ name }) => name === endpoint.name)}].path`,
        description,
      );
  }
}
