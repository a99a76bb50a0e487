import { hash, randomBytes } from "node:crypto";
import { type DescMethod, ScalarType } from "@bufbuild/protobuf";
import { Caller } from "@gatehouse/proto/common";
import { accessRule } from "@gatehouse/service";
import pg from "pg";
import { beforeAll, expect, test } from "vitest";
import { call } from "../permissions/call.ts";
import { freshKey } from "../permissions/request.ts";
import { requests } from "../permissions/requests.ts";
import { makeWorld, type World } from "../permissions/world.ts";
import { nameOf, publicMethods } from "../system/transports.ts";
import { useSystem } from "../system/use-system.ts";

/** P6: a secret that somebody pastes where an id or a name belongs is kept nowhere: no audit, no delivery, no log. */

const system = useSystem({ replicas: [{}] });

/** Fields whose text is kept as it is said: what people call things and places, and where. And those that take secrets. */
const FREE_TEXT = new Set(
  `name title reason email subject key_name url version value slug source idempotency_key unit header token page_token
   resource reference`.split(/\s+/),
);

/** Every field, of every RPC for keys, that takes the name of something. */
const fields = publicMethods()
  .filter((method) => accessRule(method).caller !== Caller.ANYONE)
  .filter(({ parent }) => !parent.typeName.includes(".authz."))
  .flatMap((method) =>
    method.input.fields
      .filter(({ scalar, fieldKind }) => fieldKind === "scalar" && scalar === ScalarType.STRING)
      .filter(({ name }) => !FREE_TEXT.has(name))
      // Terms are called what their document is.
      .filter(({ name }) => !(name === "document" && method.name === "CreateTerms"))
      .map(({ name, oneof }) => ({ method, name, rivals: oneof?.fields.map((each) => each.name) ?? [] })),
  );

let world: World;
let secrets: Readonly<Record<string, string>>;
/** The answers' words, by RPC and field. */
const words = new Map<string, ReadonlySet<string>>();

async function made(): Promise<typeof secrets> {
  const { subaccount, provider } = world;
  const member = { account: subaccount, email: "a@example.com", roles: ["developer"] };
  // Once the requests have said which they need: they say it once.
  await requests["identity.v1.KeyService/ImportKeys"]!(world, "root");
  const settings = "identity.v1.AccountService/UpdateSettings";
  await world.made(settings, { account: provider, import_prefixes: ["pk_live_", "old-", "old_"] });
  const imported = { underscored: `pk_live_${random()}`, slugged: `old-${random()}` };
  const keys = Object.entries(imported).map(([name, text]) => {
    return { name, prefix: /^(pk_live_|old-)/.exec(text)![0], hash: hash("sha256", text) };
  });
  await world.made("identity.v1.KeyService/ImportKeys", { account: subaccount, keys });
  const hook = { account: subaccount, name: "pasted", url: "https://example.com/hook" };
  return {
    ...imported,
    key: (await freshKey(world)).secret,
    token: (await world.made("identity.v1.MemberService/Invite", member)).token,
    webhook: (await world.made("identity.v1.WebhookService/CreateWebhook", hook)).secret,
  };
}

function random(): string {
  return randomBytes(16).toString("hex");
}

async function paste(method: DescMethod, field: string, rivals: readonly string[]): Promise<void> {
  const name = nameOf(method);
  const body = Object.entries(await requests[name]!(world, "master")).filter(
    ([each]) => !rivals.includes(each),
  );
  const answered = new Set<string>();
  for (const secret of Object.values(secrets)) {
    for (const pasted of [secret, `ours/${secret}`]) {
      const sent = { ...Object.fromEntries(body), [field]: pasted };
      for (const caller of ["root", "master", "dev"] as const) {
        answered.add((await call(system(), world.secrets[caller], name, sent)).word);
      }
    }
  }
  words.set(`${name} ${field}`, answered);
}

beforeAll(async () => {
  world = await makeWorld(system());
  secrets = await made();
  for (const { method, name, rivals } of fields) await paste(method, name, rivals);
}, 300_000);

async function rowsOf(table: string): Promise<string[]> {
  const sql = new pg.Client({ connectionString: system().databaseUrl });
  await sql.connect();
  try {
    const { rows } = await sql.query<{ row: string }>(`SELECT t::text AS row FROM ${table} t`);
    return rows.map(({ row }) => row);
  } finally {
    await sql.end();
  }
}

test("every RPC that names something is tried, and refuses", () => {
  expect(fields.length).toBeGreaterThan(70);
  const tried = (name: string) => [...(words.get(name) ?? [])];
  expect(tried("identity.v1.KeyService/RevokeKey key")).toEqual(expect.arrayContaining(["nf", "scope"]));
  expect(tried("identity.v1.KeyService/CreateKey account")).toContain("nf");
  expect(tried("identity.v1.MemberService/RevokeInvitation invitation")).toContain("nf");
});

test.each(["identity.audit_event", "identity.delivery", "identity.replay", "metering.audit_event"])(
  "nothing pasted is in %s",
  async (table) => {
    const rows = await rowsOf(table);
    for (const secret of Object.values(secrets))
      expect(rows.filter((row) => row.includes(secret))).toEqual([]);
  },
);

test("nothing pasted is in a log", () => {
  const logs = system().logs();
  expect(logs.length).toBeGreaterThan(100);
  for (const [what, secret] of Object.entries(secrets)) expect(logs.includes(secret), what).toBe(false);
});

test("the refusals are on record, with the names that are none of secrets", async () => {
  const account = "no-such-account";
  // Not the key of all the calls before, which may have as many on record as a key may in a minute.
  await call(system(), world.secrets.other, "identity.v1.KeyService/CreateKey", { account, name: "x" });
  const rows = await rowsOf("identity.audit_event");
  expect(rows.filter((row) => row.includes(account))).toHaveLength(1);
});
