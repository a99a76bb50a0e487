import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let organization: Caller;

beforeAll(async () => {
  system = await startSystem();
  organization = system.as((await system.root.accounts.createAccount({ name: "buyer" }, timely)).secret);
});
afterAll(() => system?.stop());

/** One of each kind of the provider, written the same way so that the same is asked of all of them. */
interface Shown {
  readonly name: string;
  readonly title: string;
}
interface KindCalls {
  create(caller: Caller, name: string, title: string): Promise<{ shown: Shown; freshness: string }>;
  get(caller: Caller, name: string): Promise<Shown>;
  list(caller: Caller): Promise<Shown[]>;
  update(caller: Caller, name: string, title: string, paths?: string[]): Promise<{ shown: Shown }>;
  delete(caller: Caller, name: string): Promise<{ freshness: string }>;
}

const kinds: Record<string, KindCalls> = {
  plan: {
    create: async ({ plans }, name, title) =>
      shownIn(await plans.createPlan({ name, title }, timely), "plan"),
    get: async ({ plans }, plan) => (await plans.getPlan({ plan }, timely)).plan!,
    list: async ({ plans }) => (await plans.listPlans({}, timely)).plans,
    update: async ({ plans }, plan, title, paths = []) =>
      shownIn(await plans.updatePlan({ plan, title, updateMask: { paths } }, timely), "plan"),
    delete: ({ plans }, plan) => plans.deletePlan({ plan }, timely),
  },
  api: {
    create: async ({ catalog }, name, title) =>
      shownIn(await catalog.createApi({ name, title }, timely), "api"),
    get: async ({ catalog }, api) => (await catalog.getApi({ api }, timely)).api!,
    list: async ({ catalog }) => (await catalog.listApis({}, timely)).apis,
    update: async ({ catalog }, api, title, paths = []) =>
      shownIn(await catalog.updateApi({ api, title, updateMask: { paths } }, timely), "api"),
    delete: ({ catalog }, api) => catalog.deleteApi({ api }, timely),
  },
  type: {
    create: async ({ types }, name, title) =>
      shownIn(await types.createType({ name, title }, timely), "type"),
    get: async ({ types }, type) => (await types.getType({ type }, timely)).type!,
    list: async ({ types }) => (await types.listTypes({}, timely)).types,
    update: async ({ types }, type, title, paths = []) =>
      shownIn(await types.updateType({ type, title, updateMask: { paths } }, timely), "type"),
    delete: ({ types }, type) => types.deleteType({ type }, timely),
  },
  meter: {
    create: async ({ meters }, name, title) =>
      shownIn(await meters.createMeter({ name, title }, timely), "meter"),
    get: async ({ meters }, meter) => (await meters.getMeter({ meter }, timely)).meter!,
    list: async ({ meters }) => (await meters.listMeters({}, timely)).meters,
    update: async ({ meters }, meter, title, paths = []) =>
      shownIn(await meters.updateMeter({ meter, title, updateMask: { paths } }, timely), "meter"),
    delete: ({ meters }, meter) => meters.deleteMeter({ meter }, timely),
  },
  integration: {
    create: async ({ integrations }, name, title) =>
      shownIn(await integrations.createIntegration({ name, title }, timely), "integration"),
    get: async ({ integrations }, integration) =>
      (await integrations.getIntegration({ integration }, timely)).integration!,
    list: async ({ integrations }) => (await integrations.listIntegrations({}, timely)).integrations,
    update: async ({ integrations }, integration, title, paths = []) =>
      shownIn(
        await integrations.updateIntegration({ integration, title, updateMask: { paths } }, timely),
        "integration",
      ),
    delete: ({ integrations }, integration) => integrations.deleteIntegration({ integration }, timely),
  },
  terms: {
    create: async ({ terms }, document, title) =>
      termsIn(await terms.createTerms({ document, title, version: "1", gates: ["none"] }, timely)),
    get: async ({ terms }, document) => termsOf((await terms.getTerms({ document }, timely)).terms!),
    list: async ({ terms }) => (await terms.listTerms({}, timely)).terms.map(termsOf),
    update: async ({ terms }, document, title, paths = []) =>
      termsIn(await terms.updateTerms({ document, title, updateMask: { paths } }, timely)),
    delete: ({ terms }, document) => terms.deleteTerms({ document }, timely),
  },
};

function shownIn<Field extends string>(
  answer: { readonly freshness: string } & { readonly [name in Field]?: Shown | undefined },
  field: Field,
) {
  return { shown: (answer as Record<Field, Shown>)[field], freshness: answer.freshness };
}

function termsIn({
  terms,
  freshness,
}: {
  terms?: { document: string; title: string } | undefined;
  freshness: string;
}) {
  return { shown: termsOf(terms!), freshness };
}

function termsOf({ document, title }: { document: string; title: string }): Shown {
  return { name: document, title };
}

async function auditOf(name: string): Promise<object[]> {
  const { rows } = await system.sql.query(
    `SELECT action, outcome, before->>'title' AS before, after->>'title' AS after FROM audit_event
     WHERE target = $1 OR target = (SELECT id FROM definition WHERE name = $1 AND id <> '') ORDER BY id`,
    [name],
  );
  return rows;
}

describe.each(Object.entries(kinds))("of kind %s", (kind, calls) => {
  const name = `one${kind}`;

  it("is created once, read by every key, changed by mask and deleted", async () => {
    const { root } = system;
    const created = await calls.create(root, name, "One");
    expect(created.shown).toMatchObject({ name, title: "One" });
    expect(await calls.create(root, name, "One")).toMatchObject({ shown: created.shown });
    expect(await reasonOf(calls.create(root, name, "Other"))).toBe("NAME_TAKEN");
    expect(await calls.get(organization, name)).toEqual(created.shown);
    expect(await calls.list(organization)).toContainEqual(created.shown);
    expect((await calls.update(root, name, "Two")).shown).toMatchObject({ name, title: "Two" });
    expect((await calls.update(root, name, "Two")).shown).toMatchObject({ title: "Two" });
    expect((await calls.update(root, name, "", ["title"])).shown).toMatchObject({ title: "" });
    const events = await auditOf(name);
    await calls.delete(root, name);
    expect(await reasonOf(calls.get(organization, name))).toBe("NOT_FOUND");
    expect(await calls.list(organization)).not.toContainEqual(expect.objectContaining({ name }));
    expect(await reasonOf(calls.delete(root, name))).toBe("NOT_FOUND");
    expect(await reasonOf(calls.update(root, name, "Three"))).toBe("NOT_FOUND");
    expect(events.map((event) => Object.values(event).slice(1))).toEqual([
      ["OK", null, "One"],
      ["NAME_TAKEN", null, null],
      ["OK", "One", "Two"],
      ["OK", "Two", ""],
    ]);
  });

  it("is the provider's: an organization changes none", async () => {
    expect(await reasonOf(calls.create(organization, name, ""))).toBe("PROVIDER_ONLY");
    expect(await reasonOf(calls.update(organization, name, "x"))).toBe("PROVIDER_ONLY");
    expect(await reasonOf(calls.delete(organization, name))).toBe("PROVIDER_ONLY");
  });

  it("says what is wrong with a request", async () => {
    const { root } = system;
    const nameField = kind === "terms" ? "document" : "name";
    const reference = kind === "terms" ? "document" : kind;
    expect(await badFieldsOf(calls.create(root, "Not This", "x".repeat(101)))).toEqual([nameField, "title"]);
    expect(await badFieldsOf(calls.update(root, "", "a\u0000", ["title", "name"]))).toEqual([
      reference,
      "update_mask",
      "title",
    ]);
    expect(await badFieldsOf(calls.update(root, "x", ""))).toEqual(["update_mask"]);
    expect(await badFieldsOf(calls.get(root, "x".repeat(200)))).toEqual([reference]);
    expect(await badFieldsOf(calls.delete(root, ""))).toEqual([reference]);
  });
});

describe("definitions", () => {
  it("stay within their bound under simultaneous creates", async () => {
    const { integrations } = system.root;
    for (let n = 0; n < 97; n++) await integrations.createIntegration({ name: `i${n}` }, timely);
    const racing = Array.from({ length: 8 }, (_, n) =>
      reasonOf(integrations.createIntegration({ name: `racing${n}` }, timely)),
    );
    const outcomes = await Promise.all(racing);
    expect(outcomes.filter((outcome) => outcome === "OK")).toHaveLength(3);
    expect(outcomes.filter((outcome) => outcome === "PLAN_LIMIT")).toHaveLength(5);
  });

  it("of different kinds that change at once all reach the root's node", async () => {
    const { types, terms } = system.root;
    await Promise.all([
      ...Array.from({ length: 4 }, (_, n) =>
        types.createType({ name: `t${n}`, scopeCeiling: ["a"] }, timely),
      ),
      ...Array.from({ length: 4 }, (_, n) =>
        terms.createTerms({ document: `d${n}`, version: "1", gates: ["none"] }, timely),
      ),
    ]);
    const { accounts } = await system.feed.resolveAccounts({ names: [{ account: "provider" }] }, timely);
    expect(accounts[0]!.providerRules!.types).toHaveLength(4);
    expect(accounts[0]!.providerRules!.terms).toHaveLength(4);
  });
});
