import { parseEncryptionKey, Sealer } from "@gatehouse/keys";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  return { id: made.account!.id, master: system.as(made.secret) };
}

async function stateOf(account: string) {
  const { accounts } = await system.feed.resolveAccounts({ names: [{ account }] }, timely);
  return accounts.find(({ id }) => id === account)!;
}

function opened(sealed: string, id: string): string {
  return new Sealer([parseEncryptionKey(system.environment.GATEHOUSE_ENCRYPTION_KEYS!)]).open(sealed, id);
}

describe("an upstream credential", () => {
  const SECRET = "Bearer upstream-secret-0123456789";

  it("is sealed for its account, shown to nobody, and taken away", async () => {
    const { master, id } = await organization("Upstream");
    const request = { header: "X-Upstream-Key", value: SECRET };
    const { account } = await master.accounts.setUpstreamCredential(request, timely);
    expect(account!.hasUpstreamCredential).toBe(true);
    const { upstreamCredential } = await stateOf(id);
    expect(opened(upstreamCredential, id)).toBe(`${id} x-upstream-key: ${SECRET}`);

    // Again is another sealed text, and a change.
    await master.accounts.setUpstreamCredential(request, timely);
    const events = await system.sql.query("SELECT * FROM audit_event WHERE action = $1 AND target = $2", [
      "gatehouse.accounts.set-upstream-credential",
      id,
    ]);
    expect(events.rows).toHaveLength(2);
    const everything = await system.sql.query(
      "SELECT (SELECT json_agg(a) FROM audit_event a)::text || (SELECT json_agg(a) FROM account a)::text AS all",
    );
    expect(everything.rows[0].all).toContain("hasUpstreamCredential");
    expect(everything.rows[0].all).not.toContain("upstream-secret");
    expect(JSON.stringify(events.rows)).not.toContain(upstreamCredential);

    const gone = await master.accounts.setUpstreamCredential({}, timely);
    expect(gone.account!.hasUpstreamCredential).toBe(false);
    expect((await master.accounts.setUpstreamCredential({}, timely)).account).toEqual(gone.account);
  });

  it("says whose key set it, whoever's account it is for", async () => {
    const { master, id } = await organization("Setters");
    const request = { account: id, header: "x-key", value: "of the provider" };
    await system.root.accounts.setUpstreamCredential(request, timely);
    const { upstreamCredential, parentId } = await stateOf(id);
    expect(opened(upstreamCredential, id)).toBe(`${parentId} x-key: of the provider`);
    const { account } = await master.accounts.createAccount({ name: "Desk" }, timely);
    await master.accounts.setUpstreamCredential({ ...request, account: account!.id }, timely);
    const { upstreamCredential: below } = await stateOf(account!.id);
    expect(opened(below, account!.id)).toBe(`${id} x-key: of the provider`);
  });

  it("is a header that a caller may set, with a value that a header can have", async () => {
    const { master } = await organization("Headers");
    const set = (header: string, value: string) =>
      badFieldsOf(master.accounts.setUpstreamCredential({ header, value }, timely));
    const refused = [
      ...["Host", "content-length", "Connection", "Transfer-Encoding", "TE", "upgrade", "content-type"],
      ...["x-gatehouse-account-id", "X-Gatehouse-Key", "x-gatehouse-account-token", "cookie", "set-cookie"],
      ...["x-forwarded-for", "forwarded", "x-forwarded-access-token", "x-real-ip", "x-original-url"],
      ...["x-envoy-external-address", "x-envoy-auth-key", "x-original-token", "x-auth-request-access-token"],
      ...["x-user-id", "x-user-key", "x-account-id", "x-account-token", "remote-user", "via", "date"],
      ...["proxy-authorization", "sec-websocket-key", "idempotency-key", "x-idempotency-key"],
      ...["gatehouse-key", "Gatehouse-Account-Key", "gatehouse-token"],
      ...["", "a b", "a:b", "a\r\n", "é", "-key", "x--key", "x_gatehouse_key", "x-api-key\n", "token"],
      `${"x".repeat(97)}-key`,
    ];
    for (const header of refused) expect(await set(header, "x"), header).toEqual(["header"]);
    const allowed = [
      ...["authorization", "X-API-Key", "api-key", "apikey", "x-auth-token", "x-key", "private-token"],
      ...["ocp-apim-subscription-key", "x-goog-api-key", "dd-application-key", `${"x".repeat(96)}-key`],
    ];
    for (const header of allowed) expect(await set(header, "x"), header).toEqual([]);
    for (const value of ["a\r\nb: c", " a", "a ", "\u00e9", "\u0000", "x".repeat(4097), "\u007f"]) {
      expect(await set("x-key", value), value.slice(0, 10)).toEqual(["value"]);
    }
    const told = await master.accounts
      .setUpstreamCredential({ header: "x-key", value: "very-secret\u0000" }, timely)
      .catch((error) => error);
    expect(`${told.message} ${JSON.stringify(told.violations)}`).not.toContain("very-secret");
    expect(await set("x-key", "x".repeat(4096))).toEqual([]);
    expect(await set("authorization", "Bearer a b  c")).toEqual([]);
  });
});
