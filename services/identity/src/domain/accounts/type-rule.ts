import { failedPrecondition } from "@gatehouse/service/failure";
import type { Definition } from "../definitions/definition.ts";
import { Fields } from "../fields.ts";
import type { Reads } from "../store.ts";
import { type Chain, rootOf } from "./account.ts";

/** The account type of a name. Throws Failure INVALID_ARGUMENT where the provider has none. */
export async function requireType(
  reads: Pick<Reads, "definitions">,
  chain: Chain,
  name: string,
): Promise<Definition<"type">> {
  const fields = new Fields();
  const type = await findType(fields, reads, chain, name);
  fields.check();
  return type!;
}

/** The account type of a name; says where the provider has none. */
export async function findType(
  fields: Fields,
  reads: Pick<Reads, "definitions">,
  chain: Chain,
  name: string,
): Promise<Definition<"type"> | undefined> {
  if (fields.isWrong("type")) return undefined;
  const type = await reads.definitions.find("type", rootOf(chain).id, name);
  if (type === undefined) fields.wrong("type", "is no account type");
  return type;
}

/**
 * Throws Failure TYPE_NOT_ENABLED where the account at the head of the chain can neither have accounts of the type
 * below it nor pass the type on. The provider has every type.
 */
export function requireTypeEnabled(chain: Chain, { name, body }: Definition<"type">): void {
  if (body.open || chain.length === 1) return;
  if (chain.some(({ enabledTypes }) => enabledTypes.includes(name))) return;
  throw failedPrecondition("TYPE_NOT_ENABLED", `the account type ${name} is not enabled here`);
}
