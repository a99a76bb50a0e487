import { DecisionCode } from "@gatehouse/proto/authz";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TraceReceiver } from "../../packages/service/src/testing/trace-receiver.ts";
import { call } from "../permissions/call.ts";
import { requests } from "../permissions/requests.ts";
import { makeWorld, type World } from "../permissions/world.ts";
import { timely } from "../system/caller.ts";
import { makeOrganization } from "../system/organization.ts";
import { makeSigningKey, signedWith } from "../system/signing-key.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

/**
 * P6: after a run of every RPC, no secret that an answer showed or a request brought is in a row of the database, in a
 * log, in the metrics or in a trace.
 */

const receiver = await TraceReceiver.start();
const system = useSystem({
  replicas: [{}],
  // Every call is traced.
  environment: { GATEHOUSE_TRACE_ENDPOINT: receiver.url, GATEHOUSE_TRACE_RATIO: "1" },
});
afterAll(() => receiver.stop());
const secrets = new Set<string>();

/** What holds a secret, by its name in requests and answers. Tokens of pages and of freshness are none. */
const SECRET_FIELDS = new Set(["secret", "secrets", "token"]);

function collect(value: unknown, name = ""): void {
  if (typeof value === "string" && SECRET_FIELDS.has(name) && value !== "") secrets.add(value);
  if (Array.isArray(value)) for (const each of value) collect(each, name);
  else if (typeof value === "object" && value !== null) {
    for (const [field, each] of Object.entries(value)) collect(each, field);
  }
}

beforeAll(async () => {
  const made = await makeWorld(system());
  for (const secret of Object.values(made.secrets)) if (secret !== undefined) secrets.add(secret);
  const memory = new Map<string, Promise<unknown>>();
  const asRoot = async (name: string, body: object) => {
    const answer = await made.made(name, body);
    collect(body);
    collect(answer);
    return answer;
  };
  const world: World = {
    ...made,
    made: asRoot,
    once(name, body) {
      const known = `${name} ${JSON.stringify(body)}`;
      if (!memory.has(known)) memory.set(known, asRoot(name, body));
      return memory.get(known) as Promise<never>;
    },
  };
  for (const [row, request] of Object.entries(requests)) {
    const body = await request(world, "root");
    collect(body);
    if (row.endsWith("/SetUpstreamCredential"))
      secrets.add(`upstream ${(body as { value: string }).value} credential`);
    const sent = row.endsWith("/SetUpstreamCredential") ? { ...body, value: [...secrets].at(-1)! } : body;
    const secret = system().root.secret;
    for (const each of [secret, system().serviceSecret]) {
      collect((await call(system(), each, row.split(":")[0]!, sent)).body);
    }
  }
  await openSealed();
}, 120_000);

/** Has authz open what is sealed: the secret of a key that signs, and an upstream credential. */
async function openSealed(): Promise<void> {
  const value = "an upstream credential that authz opens";
  const made = await makeOrganization(system(), "Sealed");
  const key = await makeSigningKey(made.master, "HMAC_SHA512", { strictReplay: true });
  const header = { account: made.id, header: "authorization", value };
  const { freshness } = await made.master.accounts.setUpstreamCredential(header, timely);
  secrets.add(value).add(key.secret as string);
  const verify = (signed: ReturnType<typeof signedWith>) =>
    system().root.authz[0]!.verify({ signed, atLeastAsFresh: [freshness] }, timely);
  const signed = signedWith(key);
  expect(await verify(signed)).toMatchObject({ code: DecisionCode.VALID, upstreamHeader: { value } });
  expect((await verify(signed)).code).toBe(DecisionCode.REPLAYED);
  const forged = { ...signedWith(key), signature: signed.signature! };
  expect((await verify(forged)).code).toBe(DecisionCode.SIGNATURE_INVALID);
}

/** Everything that is kept or shown, by where. */
async function kept(): Promise<Map<string, string>> {
  const texts = new Map([["logs", system().logs()]]);
  for (const { name, httpAddress } of [system().identity, system().metering, system().replicas[0]!.process]) {
    texts.set(`metrics of ${name}`, await (await fetch(`http://${httpAddress}/metrics`)).text());
  }
  await until("all services' spans", () => new Set(receiver.spans.map(({ service }) => service)).size === 3);
  texts.set("traces", Buffer.concat(receiver.bodies).toString("latin1"));
  const sql = new pg.Client({ connectionString: system().databaseUrl });
  await sql.connect();
  try {
    const { rows } = await sql.query<{ name: string }>(
      `SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables
       WHERE table_schema IN ('identity', 'metering') AND table_type = 'BASE TABLE'`,
    );
    for (const { name } of rows) {
      const table = await sql.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
      texts.set(name, table.rows.map(({ row }) => row).join("\n"));
    }
  } finally {
    await sql.end();
  }
  return texts;
}

/** Where a secret is, or what is random in it: masked keys show how they begin. */
function placesOf(secret: string, texts: ReadonlyMap<string, string>): string[] {
  const random = secret.length > 60 ? secret.slice(-45, -10) : secret;
  return [...texts]
    .filter(([, text]) => text.includes(secret) || text.includes(random))
    .map(([place]) => place);
}

test("no secret is kept or shown anywhere", async () => {
  expect(secrets.size).toBeGreaterThan(50);
  const texts = await kept();
  expect(texts.size).toBeGreaterThan(15);
  expect(texts.get("identity.audit_event")!.length).toBeGreaterThan(1000);
  expect(receiver.spans.length).toBeGreaterThan(100);
  for (const secret of secrets) expect(placesOf(secret, texts), secret.slice(0, 12)).toEqual([]);
});

test("a secret that is kept somewhere is found there", async () => {
  const [planted] = secrets;
  const sql = new pg.Client({ connectionString: system().databaseUrl });
  await sql.connect();
  await sql.query(
    "UPDATE identity.audit_event SET target = $1 WHERE id = (SELECT max(id) FROM identity.audit_event)",
    [planted],
  );
  await sql.end();
  expect(placesOf(planted!, await kept())).toEqual(["identity.audit_event"]);
});
