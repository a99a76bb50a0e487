import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import {
  createDefinition,
  type Defined,
  deleteDefinition,
  getDefinition,
  listDefinitions,
  type NamedDefinition,
  updateDefinition,
} from "../domain/definitions/define.ts";
import type { Definition, DefinitionBodies, DefinitionKind } from "../domain/definitions/definition.ts";
import type { Kind } from "../domain/definitions/kind.ts";
import type { Domain } from "../domain/domain.ts";

/** How a kind goes over the wire. */
export interface WireForm<K extends DefinitionKind, Field extends string, Wire, Message> {
  /** The field of the answers that has it. */
  readonly field: Field;
  /** What CreateX and UpdateX say of a body. Its fields are called as they are in the messages. */
  readonly bodyOf: (wire: Wire) => DefinitionBodies[K];
  readonly messageOf: (definition: Definition<K>) => Message;
}

interface WithMask {
  readonly updateMask?: { readonly paths: readonly string[] } | undefined;
}

interface ByKey {
  readonly principal: Principal;
}

/** The five RPCs that every kind has, to be mounted under the names of its service. */
export function definitionRpcs<K extends DefinitionKind, Field extends string, Wire, Message>(
  domain: Domain,
  kind: Kind<K>,
  { field, bodyOf, messageOf }: WireForm<K, Field, Wire, Message>,
) {
  function answer({ definition, freshness }: Defined<K>) {
    return { ...shown(definition), freshness };
  }
  function shown(definition: Definition<K>) {
    return { [field]: messageOf(definition) } as Record<Field, Message>;
  }
  return {
    async create(named: NamedDefinition, request: Wire, { principal }: ByKey) {
      return answer(await createDefinition(domain, kind, principal, { ...named, body: bodyOf(request) }));
    },
    async get(name: string, { principal }: ByKey) {
      return shown(await getDefinition(domain, kind, principal, name));
    },
    async list({ principal }: ByKey): Promise<Message[]> {
      return (await listDefinitions(domain, kind, principal)).map(messageOf);
    },
    async update(named: NamedDefinition, request: Wire & WithMask, { principal }: ByKey) {
      const mask = request.updateMask?.paths ?? [];
      const wanted = { ...named, body: bodyOf(request), given: saidIn(request), mask };
      return answer(await updateDefinition(domain, kind, principal, wanted));
    },
    delete: (named: NamedDefinition, { principal }: ByKey) =>
      deleteDefinition(domain, kind, principal, named),
  };
}

/** The fields of a message that say something: texts and lists that are not empty, and all that is present. */
function saidIn(message: object): ReadonlySet<string> {
  const fields = Object.entries(message);
  const said = fields.filter(
    ([, value]) => value !== undefined && (value as { length?: number }).length !== 0,
  );
  return new Set(said.map(([name]) => name));
}

/** What the messages of most definitions have. */
export function timesOf({ createdAt, updatedAt }: Definition<DefinitionKind>) {
  return { createdAt: timestampFromDate(createdAt), updatedAt: timestampFromDate(updatedAt) };
}
