import { openDatabase } from "@gatehouse/changefeed";
import type { DataSource } from "typeorm";
import { auditBooks, type Book, type Difference } from "./domain/books.ts";
import type { ClockOffset } from "./storage/clock.ts";
import { RollupBook } from "./storage/rollup-book.ts";
import { LedgerBook, QuotaBook, WalletBook } from "./storage/wallet-books.ts";

/** Everything that metering derives and can derive again; rollups as far back as `rollupsMs`. */
export function booksOf(dataSource: DataSource, rollupsMs: number, offsetMs?: ClockOffset): readonly Book[] {
  return [
    new WalletBook(dataSource),
    new LedgerBook(dataSource),
    new QuotaBook(dataSource),
    RollupBook.ofQuarters(dataSource, rollupsMs, offsetMs),
    RollupBook.ofAccounts(dataSource, rollupsMs, offsetMs),
  ];
}

/** Far enough for the month before; minutes are not kept much longer. */
const ROLLUPS_MS = 62 * 86_400_000;

/** Looks at all of metering's books once; services may run meanwhile. */
export async function auditDatabase(
  databaseUrl: string,
  onDifference: (difference: Difference) => void,
): Promise<{ looked: number; differences: number }> {
  const dataSource = await openDatabase({
    url: databaseUrl,
    schema: "metering",
    entities: [],
    migrations: [],
    poolSize: 1,
  });
  try {
    return await auditBooks(booksOf(dataSource, ROLLUPS_MS), onDifference);
  } finally {
    await dataSource.destroy();
  }
}
