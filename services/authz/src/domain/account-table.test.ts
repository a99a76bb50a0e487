import { describe, expect, it } from "vitest";
import { AccountTable } from "./account-table.ts";
import { newAccount } from "./identity.fixture.ts";

function accountOf(id: string, parentId?: string) {
  return { ...newAccount, id, parentId, organizationId: undefined, slug: id };
}

const accounts = [accountOf("acc_sub", "acc_org"), accountOf("acc_org", "acc_root"), accountOf("acc_root")];

describe("the account table", () => {
  it("chains an account up to the root", () => {
    const table = new AccountTable();
    table.take(accounts, 1);
    expect(table.chain("acc_sub").map(({ id }) => id)).toEqual(["acc_sub", "acc_org", "acc_root"]);
  });

  it("refuses a chain with an account missing", () => {
    const table = new AccountTable();
    table.take(accounts.slice(0, 1), 1);
    expect(() => table.chain("acc_sub")).toThrow("without account acc_org");
  });

  it("takes a newer state into the same entry, and keeps it from an older one", () => {
    const table = new AccountTable();
    table.take(accounts, 5);
    const entry = table.get("acc_org")!;
    table.take([{ ...accounts[1]!, slug: "newer" }], 6);
    table.take([{ ...accounts[1]!, slug: "older" }], 4);
    expect([table.get("acc_org"), entry.slug]).toEqual([entry, "newer"]);
  });

  it("keeps an entry as long as any chain holds it, and no longer", () => {
    const table = new AccountTable();
    table.take(accounts, 1);
    const lower = table.chain("acc_sub");
    const upper = table.chain("acc_org");
    table.hold(lower);
    table.hold(upper);
    table.release(lower);
    expect([table.get("acc_sub"), table.get("acc_org")]).toEqual([undefined, upper[0]]);
    table.release(upper);
    expect(accounts.map(({ id }) => table.get(id))).toEqual([undefined, undefined, undefined]);
  });
});
