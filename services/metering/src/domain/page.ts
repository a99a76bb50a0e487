import type { Violation } from "@gatehouse/service/failure";

const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 500;
const MAX_TOKEN_LENGTH = 1000;

/** A page as it was asked for. */
export interface PageDraft {
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** What is wrong with the size asked for. */
export function pageSizeViolations({ pageSize }: PageDraft): Violation[] {
  if (pageSize >= 0 && pageSize <= MAX_PAGE_SIZE) return [];
  return [{ field: "page_size", description: `must be 1 to ${MAX_PAGE_SIZE}` }];
}

/** How many rows a page has that asked for so many; 0 asks for nothing special. */
export function pageSizeOf(asked: number): number {
  return asked || DEFAULT_PAGE_SIZE;
}

/** A page of rows that are read after those that `after` names; `tokenOf` names one. */
export async function pageOf<Row>(
  { pageSize }: Pick<PageDraft, "pageSize">,
  read: (count: number) => Promise<readonly Row[]>,
  tokenOf: (last: Row) => string,
): Promise<Page<Row>> {
  const size = pageSizeOf(pageSize);
  const rows = await read(size + 1);
  const page = rows.slice(0, size);
  return { rows: page, nextPageToken: rows.length > size ? tokenOf(page.at(-1)!) : "" };
}

/** A token of texts. */
export function writeToken(texts: readonly string[]): string {
  return Buffer.from(JSON.stringify(texts)).toString("base64url");
}

/** The texts of a token, or why it is none. Undefined for the first page. */
export function readToken(
  token: string,
  isValid: (texts: readonly string[]) => boolean,
): readonly string[] | "INVALID" | undefined {
  if (token === "") return undefined;
  if (token.length > MAX_TOKEN_LENGTH) return "INVALID";
  try {
    const texts: unknown = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
    const areTexts = Array.isArray(texts) && texts.every((text) => typeof text === "string");
    return areTexts && isValid(texts) ? texts : "INVALID";
  } catch {
    return "INVALID";
  }
}

export const TOKEN_VIOLATION: Violation = {
  field: "page_token",
  description: "must be the next_page_token of the page before",
};
