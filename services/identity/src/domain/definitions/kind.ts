import type { Principal } from "@gatehouse/access";
import type { Chain } from "../accounts/account.ts";
import type { Fields } from "../fields.ts";
import type { Change } from "../store.ts";
import type { Definition, DefinitionBodies, DefinitionKind } from "./definition.ts";

/** What is particular about a kind. */
export interface Kind<K extends DefinitionKind> {
  readonly kind: K;
  /** What people call one, such as `plan`: also the field that names one. */
  readonly what: string;
  /** What people call several, such as `plans`. */
  readonly many: string;
  /** What its scopes begin with, such as `gatehouse.plans`. */
  readonly scopes: string;
  /** The field of the name, in all requests, where it is not `name` and `what`. */
  readonly nameField?: string;
  readonly naming?: { readonly pattern: RegExp; readonly rule: string };
  readonly idPrefix?: "rol" | "pln";
  readonly fields: Checks<DefinitionBodies[K]>;
  /** How many an account has at most. */
  readonly most: number;
  /** Bytes of all that an account has of it, as JSON, where they travel as one. */
  readonly mostBytes?: number;
  /** It reaches followers with its account. */
  readonly decidesCalls?: boolean;
  /** What the rule needs to stay as it is. */
  readonly changedGates?: (name: string) => readonly string[];
  /** Throws Failure where the step must not be taken. Behind the gates. */
  readonly rule?: (change: Change, step: Step<K>) => Promise<void> | void;
}

/** Reads one field of a body, answers it as it is kept, and says what is wrong with it. */
export type Checks<Body> = {
  readonly [Name in keyof Body]: (fields: Fields, field: string, value: Body[Name]) => Body[Name];
};

/** From what is there to what is to be there; undefined for nothing. */
export interface Step<K extends DefinitionKind> {
  /** As it is behind the gates. */
  readonly actor: Principal;
  readonly owner: Chain;
  readonly name: string;
  readonly before: DefinitionBodies[K] | undefined;
  readonly after: DefinitionBodies[K] | undefined;
  /** All that the owner has of the kind, before the step. */
  readonly all: readonly Definition<K>[];
}

/** A check of what people call something. */
export function title(fields: Fields, field: string, value: string): string {
  return fields.text(field, value, { max: 100 });
}
