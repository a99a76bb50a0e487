import { mintId } from "@gatehouse/keys";
import { Caller } from "@gatehouse/proto/common";
import { accessRule } from "@gatehouse/service";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type JsonAnswer, reasonIn } from "../system/json-call.ts";
import { nameOf, publicMethods } from "../system/transports.ts";
import { useSystem } from "../system/use-system.ts";
import { call, methods } from "./call.ts";
import { freshAccount, freshKey } from "./request.ts";
import { requests } from "./requests.ts";
import { StatementLog } from "./statements.ts";
import { makeWorld, type World } from "./world.ts";

/**
 * P7: what is outside a caller's reach answers with the same bytes as what does not exist, by the same way: the
 * database is asked the same. For every RPC and each of its fields that names something.
 */

const system = useSystem({ replicas: [{}] });

/** What fields name, by their name in the proto. Verify's `key` is a credential and is looked at in e2e/reach. */
const KIND_OF_FIELD: Readonly<Record<string, Kind>> = {
  account: "account",
  parent: "account",
  from: "account",
  to: "account",
  key: "key",
  parent_key: "key",
  limit: "limit",
  alert: "alert",
  invitation: "invitation",
  user: "user",
  webhook: "webhook",
  role: "role",
  actor: "actor",
  target: "actor",
  decision_id: "decision",
};
type Kind =
  | "account"
  | "key"
  | "limit"
  | "alert"
  | "invitation"
  | "user"
  | "webhook"
  | "role"
  | "actor"
  | "decision";

/** RPCs that are open to all organizations' keys and take such names. The provider's have no reach to be outside of. */
const asks = publicMethods()
  .filter((method) => accessRule(method).caller === Caller.KEY && method.methodKind === "unary")
  .filter(({ parent }) => !parent.typeName.includes(".authz."))
  .flatMap((method) =>
    method.input.fields
      .filter(({ name, fieldKind }) => fieldKind === "scalar" && KIND_OF_FIELD[name] !== undefined)
      .map(({ name }) => ({ method: nameOf(method), field: name, kind: KIND_OF_FIELD[name]! })),
  );

let world: World;
let foreign: Readonly<Record<Kind, readonly string[]>>;
const NEEDS_FUNDS = /CreditService|GetStatement/;
/** Of the subaccount, for what its administrator may not. */
let funds: string;
let statements: StatementLog;

beforeAll(async () => {
  world = await makeWorld(system());
  foreign = await madeElsewhere();
  funds = (await freshKey(world, { roles: ["fund-manager"] })).secret;
  statements = await StatementLog.open(system().databaseUrl);
}, 120_000);
afterAll(() => statements?.[Symbol.asyncDispose]());

async function madeElsewhere(): Promise<typeof foreign> {
  const theirs: World = { ...world, ...world.theirs };
  const made = async (row: string, field: string) => {
    const body = (await requests[row]!(theirs, "root")) as Record<string, string>;
    return body[field]!;
  };
  // Seen by no other test: whoever names something finds that in the audit, and rightly so.
  const unnamed = await made("identity.v1.KeyService/DisableKey", "key");
  const key = await made("identity.v1.KeyService/DisableKey", "key");
  const rootKey = (await world.made("identity.v1.KeyService/WhoAmI", {})).key.id;
  const { organization, subaccount } = world.theirs;
  return {
    account: [subaccount, organization, world.provider, "theirs", "their-team", "theirs/their-team"],
    key: [key, rootKey],
    limit: [await made("metering.v1.LimitService/DeleteLimit", "limit")],
    alert: [await made("metering.v1.AlertService/DeleteAlert", "alert")],
    invitation: [await made("identity.v1.MemberService/RevokeInvitation", "invitation")],
    user: [await made("identity.v1.MemberService/RemoveMember", "user")],
    webhook: [await made("identity.v1.WebhookService/DeleteWebhook", "webhook")],
    role: [await made("identity.v1.RoleService/DeleteRole", "role")],
    actor: [unnamed, await freshAccount(theirs)],
    decision: [await made("metering.v1.UsageService/ReleaseReservation", "decision_id")],
  };
}

/** What the request has beside the field, and nothing that excludes it. */
function withField(method: string, body: object, field: string, name: string): object {
  const { fields } = methods.get(method)!.input;
  const rivals = fields.find((each) => each.name === field)!.oneof?.fields.map((each) => each.name) ?? [];
  return {
    ...Object.fromEntries(Object.entries(body).filter(([each]) => !rivals.includes(each))),
    [field]: name,
  };
}

const PREFIXES = { key: "key", limit: "lim", alert: "alr", invitation: "inv", user: "usr" } as const;

/** A name like the given one that nothing has. */
function missing(kind: Kind, like: string): string {
  if (like.includes("/")) return "nowhere/no-such";
  if (kind === "account" || kind === "actor") {
    return like.includes("_") ? mintId(like.startsWith("key") ? "key" : "acc") : "no-such-name";
  }
  // One like it that authz did not make; of an ordinary decision the length tells that it holds nothing.
  if (kind === "decision") return `${like.slice(0, -1)}${like.endsWith("0") ? "1" : "0"}`;
  return kind === "webhook" || kind === "role" ? "nosuchname" : mintId(PREFIXES[kind]);
}

/** Names that only look like one. */
function malformed(kind: Kind): readonly string[] {
  if (kind === "webhook" || kind === "role") return ["a-name-that-nobody-took"];
  if (kind === "actor") return [];
  return ["acc_", "key_0", `${mintId("key").slice(0, -1)}-`, mintId("evt"), "a/b/c", "../x", "%00"];
}

async function bodyOf(method: string): Promise<object> {
  return requests[method]!(world, "master");
}

// Everything but what time does to an answer.
function visible({ status, text, headers }: JsonAnswer) {
  const { date: _, ...rest } = headers;
  return { status, text, headers: rest };
}

test("there is something to look at", () => {
  expect(asks.length).toBeGreaterThan(40);
  expect(new Set(asks.map(({ kind }) => kind))).toEqual(new Set(Object.values(KIND_OF_FIELD)));
});

describe.each(asks)("$method, by $field", ({ method, field, kind }) => {
  const found = kind === "actor" ? 200 : 404;

  test.each([
    ["an organization's master key", "master"],
    ["a subaccount's key", "acct"],
  ] as const)("tells %s the same of what is foreign and of what is not there", async (_who, caller) => {
    const body = await bodyOf(method);
    const secret = caller === "acct" && NEEDS_FUNDS.test(method) ? funds : world.secrets[caller];
    const ask = (name: string) => system().json(secret, method, withField(method, body, field, name));
    const names =
      caller === "acct" && kind === "account"
        ? [...foreign.account, world.organization, "ours"]
        : foreign[kind];
    for (const name of names) {
      const [there, nowhere] = [await ask(name), await ask(missing(kind, name))];
      expect(there.status, `${name}: ${there.text}`).toBe(found);
      expect(visible(there), name).toEqual(visible(nowhere));
    }
    const nowhere = await ask(missing(kind, names[0]!));
    for (const name of malformed(kind)) expect(visible(await ask(name)), name).toEqual(visible(nowhere));
  });

  test("asks the database the same of both", async () => {
    const body = await bodyOf(method);
    const ask = (name: string) =>
      system().json(world.secrets.master, method, withField(method, body, field, name));
    const like = foreign[kind][0]!;
    const [there, nowhere] = await statements.ofBoth(
      () => ask(like),
      () => ask(missing(kind, like)),
    );
    expect(there).toEqual(nowhere);
  });

  test("finds what is in reach, so it is reach that refuses", async () => {
    const answer = await call(system(), world.secrets.master, method, await bodyOf(method));
    expect(answer.word, answer.text).toBe("ok");
  });
});

test("a report of a leak tells nothing of a foreign key", async () => {
  const theirs = await requests["identity.v1.KeyService/ReportLeak"]!({ ...world, ...world.theirs }, "root");
  const { secrets } = theirs as { secrets: string[] };
  const ask = (secret: string) =>
    system().json(world.secrets.master, "identity.v1.KeyService/ReportLeak", { secrets: [secret] });
  const spoiled = `${secrets[0]!.slice(0, -1)}${secrets[0]!.endsWith("A") ? "B" : "A"}`;
  const { freshness: _, ...foreignReport } = (await ask(secrets[0]!)).body;
  const { freshness: __, ...noReport } = (await ask(spoiled)).body;
  expect(foreignReport).toEqual(noReport);
});

test("another way through the database is noticed", async () => {
  const disable = (key: string) => () =>
    system().json(world.secrets.master, "identity.v1.KeyService/DisableKey", { key });
  const { key } = (await bodyOf("identity.v1.KeyService/DisableKey")) as { key: string };
  const [there, nowhere] = await statements.ofBoth(disable(key), () => disable(mintId("key"))());
  expect(nowhere.length).toBeGreaterThan(0);
  expect(there).not.toEqual(nowhere);
  expect(reasonIn(await disable(mintId("key"))())).toBe("NOT_FOUND");
});
