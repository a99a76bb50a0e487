import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Definition, DefinitionKind } from "../domain/definition.ts";

/** What the messages of all definitions have. */
export function timesOf({ createdAt, updatedAt }: Definition<DefinitionKind>) {
  return { createdAt: timestampFromDate(createdAt), updatedAt: timestampFromDate(updatedAt) };
}

/** The fields that an update is to change, as they were named; none for those that are given. */
export function maskOf(mask: { readonly paths: readonly string[] } | undefined): readonly string[] {
  return mask?.paths ?? [];
}
