import type { CallerName, World } from "./world.ts";

/**
 * The request of one row, about the organization's subaccount or what belongs to it, such that nothing but who calls
 * decides. Made anew after a call that succeeded, for it may have used up what it was about.
 */
export type MakeRequest = (world: World, caller: CallerName) => object | Promise<object>;

/** By RPC, `identity.v1.KeyService/GetKey`, or `identity.v1.KeyService/GetKey:variant` for one more row of it. */
export type Requests = Readonly<Record<string, MakeRequest>>;

/** What nobody stands on; but for who stands on the subaccount, the subaccount, so that the answer is about that. */
export async function subaccountToStop(world: World, caller: CallerName): Promise<string> {
  if (caller === "acct" || caller === "sub") return world.subaccount;
  return freshAccount(world);
}

export async function freshAccount({ made, organization, fresh }: World): Promise<string> {
  const body = { parent: organization, name: fresh() };
  return (await made("identity.v1.AccountService/CreateAccount", body)).account.id;
}

/** A key of the subaccount that nobody of the matrix calls with. */
export async function freshKey(world: World, more: object = {}): Promise<{ id: string; secret: string }> {
  const { subaccount, fresh } = world;
  const body = { account: subaccount, name: fresh(), roles: ["developer"], ...more };
  const { key, secret } = await world.made("identity.v1.KeyService/CreateKey", body);
  return { id: key.id, secret };
}
