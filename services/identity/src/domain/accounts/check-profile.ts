import type { Fields } from "../fields.ts";
import { PROFILE_FIELDS, type Profile } from "./account.ts";

const MAX_LENGTH = 200;

/** Who stands behind an account: every field is optional. */
export function checkProfile(fields: Fields, profile: Profile): Profile {
  for (const field of PROFILE_FIELDS) {
    fields.text(`profile.${snakeCase(field)}`, profile[field] ?? "", { max: MAX_LENGTH });
  }
  return profile;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
