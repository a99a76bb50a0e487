import type { Requests } from "./request.ts";

/** What the provider lays down for everybody: a name, and how it is made, changed and taken back. */
interface Definition {
  /** `Plan`; the service is `PlanService`. */
  readonly noun: string;
  readonly service?: string;
  /** The field that names it at its creation. */
  readonly name?: string;
  /** The field that names it later. */
  readonly reference: string;
  /** What else making it takes. */
  readonly rest?: object;
}

const definitions: readonly Definition[] = [
  { noun: "Plan", reference: "plan" },
  { noun: "Type", reference: "type" },
  { noun: "Integration", reference: "integration" },
  { noun: "Meter", reference: "meter" },
  { noun: "Api", service: "Catalog", reference: "api" },
  {
    noun: "Terms",
    name: "document",
    reference: "document",
    rest: { version: "1", gates: ["no.such.thing"] },
  },
];

export const providerRequests: Requests = Object.assign({}, ...definitions.map(requestsOf));

function requestsOf({ noun, service = noun, name = "name", reference, rest }: Definition): Requests {
  const rpc = (verb: string, nouns = noun) => `identity.v1.${service}Service/${verb}${nouns}`;
  const creation = (word: string) => ({ [name]: word, title: "Matrix", ...rest });
  const plural = noun.endsWith("s") ? noun : `${noun}s`;
  return {
    [rpc("Create")]: ({ fresh }) => creation(fresh()),
    [rpc("Get")]: async ({ once }) => {
      await once(rpc("Create"), creation("theone"));
      return { [reference]: "theone" };
    },
    [rpc("List", plural)]: () => ({}),
    [rpc("Update")]: async ({ once, fresh }) => {
      await once(rpc("Create"), creation("theone"));
      return { [reference]: "theone", title: fresh() };
    },
    [rpc("Delete")]: async ({ made, fresh }) => {
      const word = fresh();
      await made(rpc("Create"), creation(word));
      return { [reference]: word };
    },
  };
}
