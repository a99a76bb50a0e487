/** What accounts, and what is named like them, are called: 1 to 63 of a-z, 0-9 and single hyphens between them. */
export const SLUG_PATTERN = /^(?=.{1,63}$)[a-z0-9]+(-[a-z0-9]+)*$/;
