/** Whether a text can be asked about in the database: not too long, and without NUL, which Postgres refuses. */
export function isStorable(text: string, maxLength: number): boolean {
  return text.length <= maxLength && !text.includes("\0");
}
