import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveTenants } from "./isolated-tenants.ts";
import { useProvider } from "./provider.ts";

const provider = useProvider();
let tenants: Awaited<ReturnType<typeof serveTenants>>;

beforeAll(async () => {
  tenants = await serveTenants(provider.as);
});
afterAll(() => tenants?.close());

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what a client would see; tests look at what they expect in it.
  readonly body: any;
}

async function call(key: string | undefined, path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${tenants.url}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: key === undefined ? {} : { "x-api-key": key },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

/** A tenant whose keys see nothing but what it owns. */
async function tenant(name: string) {
  const made = await provider.root().accounts.createAccount({ name });
  await provider.root().accounts.updateSettings({ account: made.account!.id, isolated: true });
  return made;
}

describe("isolated tenants", () => {
  it("whoever owns the presented key is the parent, and gets the account with its first key, once", async () => {
    const { account, secret } = await tenant("Parent");
    const made = await call(secret, "/accounts", {
      attributes: { name: "Child", company: "Child Ltd", vat: "DE123", zip_code: "10115" },
    });
    expect(made.status).toBe(201);
    expect(made.body.account).toMatchObject({
      id: expect.stringMatching(/^acc_/),
      parent_id: account!.id,
      company: "Child Ltd",
      vat: "DE123",
      zip_code: "10115",
    });
    expect(made.body.key).toMatchObject({ id: expect.stringMatching(/^key_/), secret: expect.any(String) });

    const child = made.body.key.secret as string;
    expect((await call(child, `/accounts/${made.body.account.id}`)).body.account.name).toBe("Child");
    expect(await provider.decide({ key: child, resource: "tags.read" })).toBe("VALID");
  });

  it("nobody sees or verifies what another account owns, its parent included", async () => {
    const one = await tenant("One");
    const two = await tenant("Two");
    const child = (await call(one.secret, "/accounts", { attributes: { name: "Kid" } })).body;
    const foreign = await call(two.secret, `/accounts/${child.account.id}`);
    expect(foreign).toEqual(await call(two.secret, "/accounts/acc_00000000000000000000"));
    expect(foreign.status).toBe(404);
    expect((await call(one.secret, `/accounts/${child.account.id}`)).status).toBe(404);
    expect((await call(child.key.secret, `/accounts/${one.account!.id}`)).status).toBe(404);

    const { authz } = provider.as(one.secret);
    const { code } = await authz.verify({ key: child.key.secret, resource: "tags.read" });
    expect(code).toBe((await authz.verify({ key: "gth_acc_nonsense" })).code);
  });

  it("errors are 400 without attributes, 401 for keys that are none, 422 for bad attributes", async () => {
    const { key, secret } = await tenant("Strict");
    expect((await call(secret, "/accounts", {})).status).toBe(400);
    expect((await call(undefined, "/accounts", { attributes: { name: "x" } })).status).toBe(401);
    expect((await call("gth_acc_nonsense", "/accounts", { attributes: { name: "x" } })).status).toBe(401);
    const unnamed = await call(secret, "/accounts", { attributes: { company: "c".repeat(201) } });
    expect(unnamed.status).toBe(422);
    expect(unnamed.body.errors.map(({ field }: { field: string }) => field).sort()).toEqual([
      "name",
      "profile.company",
    ]);
    expect((await call(secret, "/accounts", { attributes: { name: "n".repeat(101) } })).status).toBe(422);
    await provider.root().keys.revokeKey({ key: key!.id });
    expect((await call(secret, "/accounts", { attributes: { name: "x" } })).status).toBe(401);
  });

  it("accounts nest one deep, by the default plan", async () => {
    const { secret } = await tenant("Flat");
    const child = (await call(secret, "/accounts", { attributes: { name: "Kid" } })).body;
    const administrator = { roles: ["administrator"] };
    const { account, secret: kid } = await provider
      .as(secret)
      .accounts.createAccount({ name: "Able kid", firstKey: administrator });
    expect(account!.parentId).toBe(child.account.parent_id);
    expect((await call(kid, "/accounts", { attributes: { name: "Grandchild" } })).body.error).toBe(
      "PLAN_DEPTH",
    );
  });
});
